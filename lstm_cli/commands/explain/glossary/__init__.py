"""The words of the LSTM, a page each: `words/NAME.md` has the prose, `glossary_page` prints it.

A file's front matter is TOML between two lines `+++`: the attributes of a `Word` (`try` for `try_`)
and a table `[example]`. Below it are the paragraphs of its meaning, then its drawing. Equations are
never typed there: a word names the rows of the table that it is about.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.cell.cells import Settings
from lstm_cli.commands.explain.glossary.word import Example, Word

__all__ = ["GROUPS", "WORDS", "Example", "Word", "word_named"]

# The words by group, in the order of the index.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "gates": ("gate", "forget-gate", "input-gate", "candidate", "output-gate"),
    "states": ("cell-state", "hidden-state", "initial-state"),
    "inside a gate": (
        "pre-activation", "concatenation", "weights", "bias", "sigmoid", "tanh", "unit",
    ),
    "over time": ("step", "sequence", "layers", "directions", "batch", "padding"),
    "variants": (
        "peephole", "projection", "coupled-gates", "forget-bias", "clip", "cell-clip",
        "hard-sigmoid",
    ),
    "files and frameworks": ("gate-order", "convention"),
    "learning": ("gradient", "vanishing-gradient"),
    "numbers": ("precision", "fixed-point"),
}  # fmt: skip


def _read(name: str, group: str) -> Word:
    """Read the file of a word."""
    text = (files(__name__) / "words" / f"{name}.md").read_text(encoding="utf-8")
    _, front, body = text.split("+++\n", 2)
    meaning, _, picture = body.partition("```text\n")
    rows = {key: _frozen(value) for key, value in tomllib.loads(front).items()}
    if "settings" in rows:
        rows["settings"] = Settings(**rows["settings"])
    if "example" in rows:
        rows["example"] = Example(**rows["example"])
    return Word(
        name=name, group=group, meaning=_frozen(meaning.strip().split("\n\n")),
        picture=picture.removesuffix("```\n"), try_=rows.pop("try"), **rows,
    )  # fmt: skip


def _frozen(value: Any) -> Any:
    """Turn lists into tuples, and join the lines of a text."""
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return " ".join(value.split()) if isinstance(value, str) else value


WORDS: Mapping[str, Word] = {
    name: _read(name, group) for group, names in GROUPS.items() for name in names
}


def word_named(name: str) -> Word:
    """Return a word by its name or an alias: "forget-gate", "Forget gate", "f", "C̃".

    Raises:
        UsageError: no such word; the hint proposes the nearest.
    """
    slug = _slug(name)
    if slug in WORDS:
        return WORDS[slug]
    for word in WORDS.values():
        if slug in word.aliases:
            return word
    raise UsageError(f"no page on '{safe(name)}'", where="WORD", hint=suggest(slug, WORDS))


def _slug(name: str) -> str:
    """Normalise a name for comparison: lower case, hyphens, no trailing `_t`."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower()).removesuffix("-t")
