"""What a word of the glossary says, and the small run that its page computes."""

from __future__ import annotations

from dataclasses import dataclass, field

from lstm_cli.cell.cells import LSTM, Cell, Settings, cell_named

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class Example:
    """A run small enough to read, made anew each time that a page is.

    The usual one is unit 1 of the README's question alone, with a cell state to forget.

    Attributes:
        symbols: the rows of the cell whose numbers are shown.
        note: what to see in them; `{f * c_prev}` is that number after the last step.
        x: the input, a row a step.
        h, c: the states before the first step; () leaves them out.
        preset, seed: the weights.
        hidden_size: H, where the states do not tell it.
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
    """One word: what it means, where it stands in the equations, and what goes wrong with it.

    In `meaning` and in an example's note, `$W_f @ [h_prev, x]$` is an expression of the grammar,
    written as the page writes equations, and text between backticks is for a shell.

    Attributes:
        name: a slug, what `explain` takes.
        title: what it is called.
        gist: what it is, in half a line, for the index.
        group: the heading under which the index has it.
        meaning: paragraphs: what it does, why it is there, what its number says, when to look.
        picture: a drawing of at most 58 columns beside its margin of two; "" for none.
        source: the paper.
        symbols: the rows of the cell's table, or of its backward step's, that it is about.
        cell: the cell whose table has them; "" for the plain LSTM.
        settings: what is added to that cell.
        functions: functions whose definitions and values are shown.
        example: a run with numbers; None for none.
        facts: tables of `glossary_facts.FACTS` that the page shows.
        habits: those of its `HABITS`, which some frameworks have and others do not.
        aliases: other names, as `word_named` compares them.
        mistakes: ids of `mistakes.catalogue.MISTAKES`.
        see: names of other words.
        try_: command lines that show it.
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
