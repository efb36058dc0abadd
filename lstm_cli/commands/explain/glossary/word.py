"""A word of the glossary, and the small run that its page computes."""

from __future__ import annotations

from dataclasses import dataclass, field

from lstm_cli.cell.cells import LSTM, Cell, Settings, cell_named

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
        group: its heading in the index.
        meaning: paragraphs: what it does, why it exists, what its values mean, when to look at it.
        picture: a drawing of at most 58 columns after a margin of two; "" for none.
        source: the paper.
        symbols: the rows of the cell's table, or of its backward step's, that it is about.
        cell: the cell whose table has them; "" for the plain LSTM.
        settings: what to add to that cell.
        functions: functions whose definitions and values are shown.
        example: a run with numbers; None for none.
        facts: tables of `glossary_facts.FACTS` that the page shows.
        habits: keys of its `HABITS`, what some frameworks do and others do not.
        aliases: other names, normalised as in `word_named`.
        mistakes: ids of `mistakes.catalogue.MISTAKES`.
        see: names of other words.
        try_: commands that show it.
    """

    name: str
    title: str
    gist: str
    group: str
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
