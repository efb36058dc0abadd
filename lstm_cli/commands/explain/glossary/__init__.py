"""The words of the LSTM, a page each: `words/NAME.md` has the prose, `glossary_page` prints it.

A file's front matter is TOML between two lines `+++`: the attributes of a `Word` (`try` for `try_`)
and a table `[example]`. Below it are the paragraphs of its meaning, then its drawing. Equations are
never typed there: a word names the rows of the table that it is about.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.cell.cells import LSTM, Cell, Settings, cell_named

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


Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class Example:
    """A run small enough to read, computed each time its page is written.

    The default is unit 1 of the README's first example alone, with a cell state to forget.

    Attributes:
        symbols: the rows of the cell whose numbers are shown.
        note: what to notice; `{f * c_prev}` becomes that number after the last step.
        x: the input, a row per step.
        h, c: the states before the first step; () leaves them out.
        preset, seed: the weights.
        hidden_size: H, if the states do not determine it.
    """

    symbols: tuple[str, ...]
    note: str = ""
    x: Rows = ((0.3,),)
    h: tuple[float, ...] = (0.5,)
    c: tuple[float, ...] = (0.2,)
    preset: str = "identity"
    seed: int = 0
    hidden_size: int = 0


@dataclass(frozen=True, eq=False)
class Word:
    """One word: what it means, where it occurs in the equations, and what goes wrong with it.

    In `meaning` and in an example's note, `$W_f @ [h_prev, x]$` is an expression of the grammar,
    written as the page writes equations; text between backticks is a command.

    Attributes:
        name: a slug, as `explain` takes it.
        title: what it is called.
        gist: half a line for the index.
        meaning: paragraphs: what it does, why it exists, what its values mean, when to look at it.
        picture: a drawing of at most 58 columns after a margin of two; "" for none.
        source: the paper.
        symbols: the rows of the cell's table, or of its backward step's, that it is about.
        cell: the cell whose table has them; "" for the plain LSTM.
        settings: what to add to that cell.
        functions: functions whose definitions and values are shown.
        example: a run with numbers; None for none.
        facts: tables of `glossary_page.FACTS` that the page shows.
        habits: keys of its `HABITS`, what some frameworks do and others do not.
        aliases: other names, normalised as in `word_named`.
        mistakes: ids of `mistakes.catalogue.MISTAKES`.
        see: names of other words.
        try_: commands that show it.
    """

    name: str
    title: str
    gist: str
    meaning: tuple[str, ...]
    picture: str
    source: str
    symbols: tuple[str, ...] = ()
    cell: str = ""
    settings: Settings = field(default_factory=Settings)
    functions: tuple[str, ...] = ()
    example: Example | None = None
    facts: tuple[str, ...] = ()
    habits: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()
    see: tuple[str, ...] = ()
    try_: tuple[str, ...] = ()

    @property
    def table(self) -> Cell:
        """The cell that the word is about."""
        return self.settings.edit(cell_named(self.cell) if self.cell else LSTM)


def _read(name: str) -> Word:
    """Read the file of a word."""
    text = (files(__name__) / "words" / f"{name}.md").read_text(encoding="utf-8")
    _, front, body = text.split("+++\n", 2)
    meaning, _, picture = body.partition("```text\n")
    rows = {key: _frozen(value) for key, value in tomllib.loads(front).items()}
    for key, made in (("settings", Settings), ("example", Example)):
        if key in rows:
            rows[key] = made(**rows[key])
    return Word(
        name=name, meaning=_frozen(meaning.strip().split("\n\n")),
        picture=picture.removesuffix("```\n"), try_=rows.pop("try"), **rows,
    )  # fmt: skip


def _frozen(value: Any) -> Any:
    """Turn lists into tuples, and join the lines of a text."""
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return " ".join(value.split()) if isinstance(value, str) else value


WORDS: Mapping[str, Word] = {name: _read(name) for names in GROUPS.values() for name in names}


def word_named(name: str) -> Word:
    """Return a word by its name or an alias: "forget-gate", "Forget gate", "f", "C̃".

    Raises:
        UsageError: no such word; the hint proposes the nearest.
    """
    # Lower case, hyphens, no _t at the end.
    slug = re.sub(r"[\s_-]+", "-", name.strip().lower()).removesuffix("-t")
    if slug in WORDS:
        return WORDS[slug]
    for word in WORDS.values():
        if slug in word.aliases:
            return word
    raise UsageError(f"no page on '{safe(name)}'", where="WORD", hint=suggest(slug, WORDS))
