"""The words of the LSTM: rows of data, a page each; `render.glossary` prints them.

No equation is typed here: a word names the rows of the table that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.commands.explain.glossary import (
    files,
    gates,
    inside,
    learning,
    over_time,
    states,
    variants,
)
from lstm_cli.commands.explain.glossary import numbers as numbers_
from lstm_cli.commands.explain.glossary.word import Example, Word

__all__ = ["WORDS", "Example", "Word", "word_named"]

WORDS: Mapping[str, Word] = {
    word.name: word
    for home in (gates, states, inside, over_time, variants, files, learning, numbers_)
    for word in home.ROWS
}


def word_named(name: str) -> Word:
    """Return a word by its name or another one: "forget-gate", "Forget gate", "f", "C̃".

    Raises:
        UsageError: there is none of that name; the message proposes the nearest.
    """
    slug = _slug(name)
    if slug in WORDS:
        return WORDS[slug]
    for word in WORDS.values():
        if slug in word.aliases:
            return word
    raise UsageError(f"no page on '{safe(name)}'", where="WORD", hint=suggest(slug, WORDS))


def _slug(name: str) -> str:
    """Return a name as it is compared: small letters, hyphens between, no `_t` of time."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower()).removesuffix("-t")
