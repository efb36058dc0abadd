"""A row of the catalogue of mistakes."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_cli.mistakes.variant_run import Change


@dataclass(frozen=True, eq=False)
class Mistake:
    """One way to get the wrong numbers.

    Attributes:
        id: a short slug.
        title: one line on what was done.
        change: an edit of the table, the weights, the states or the sequence that reproduces it.
        meaning: what it does to the numbers, and when it shows.
        cause: how it comes about.
        source: a thread, file or paper where it was seen.
        formula: what it computes, as text; "" if the edit of the table says it.
        certain: whether the fix is certain once the mistake is; otherwise the cause is a guess.
        numbers: entries in the project's catalogue of mistakes; empty if it is not listed there.
        options: options of `run` that compute the same, "" if there are none.
        kind: "equation", "weights", "order", "bias", "states", "sequence", "numbers",
            "convention".
        tier: 1 if tried first and in pairs, 2 if tried only alone.
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
