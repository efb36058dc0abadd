"""What a row of the catalogue of mistakes says."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_cli.mistakes.variant_run import Change


@dataclass(frozen=True, eq=False)
class Mistake:
    """One way to get other numbers than the right ones.

    Attributes:
        id: a short slug.
        title: what was done, in a line.
        change: how it computes: an edit of the table, of the weights, of states or sequence.
        meaning: what it does to the numbers, and when it shows.
        cause: how one comes to it.
        fix: what to do.
        source: a thread, file or paper where it was seen.
        formula: how it computes, as text; "" where the edit of the table says it.
        certain: whether the fix is sure once the mistake is; else it is a guess at the cause.
        numbers: of the project's catalogue of mistakes; empty for one that is not in it.
        options: options of `run` that compute the same, "" where there are none.
        kind: "equation", "weights", "order", "bias", "states", "sequence", "numbers",
            "convention".
        tier: 1 for what is searched first and in pairs, 2 for what is searched only alone.
    """

    id: str
    title: str
    change: Change
    meaning: str
    cause: str
    fix: str
    source: str
    formula: str = ""
    certain: bool = True
    numbers: tuple[int, ...] = ()
    options: str = ""
    kind: str = "equation"
    tier: int = 1
