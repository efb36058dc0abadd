"""What a grade says: right, a known mistake, a slip, or not explained; points by symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lstm_cli.commands.grade.answers import Answer

Result = Literal["right", "rounded", "incomplete", "mistake", "slip", "unexplained", "blank"]
# In the order of a summary. `rounded`: right to fewer digits than written; `incomplete`: right as
# far as filled in; `slip`: one number wrong, the others right or following from it.
RESULTS: tuple[Result, ...] = get_args(Result)
# Nobody is told that six digits or more agree.
MOST_DIGITS = 6


@dataclass(frozen=True)
class GradeSettings:
    """How to grade.

    Attributes:
        ask: names of what is asked; empty asks what the file has room for.
        atol: the tolerance, in the place of what the digits written allow.
        departures: how many mistakes may have been made together, 1 or 2.
        follow_through: whether a number counts that is right for the answer's own earlier ones.
    """

    ask: tuple[str, ...] = ()
    atol: float | None = None
    departures: int = 1
    follow_through: bool = True


@dataclass(frozen=True)
class LikelyMistake:
    """A mistake that gives the answer's numbers.

    Attributes:
        id: of the finding; two mistakes at once are joined by `+`.
        title: in words.
        departures: (id, title) of each single mistake.
        also: ids of others that give the same numbers in this exercise.
    """

    id: str
    title: str
    departures: tuple[tuple[str, str], ...]
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class SymbolMark:
    """How many numbers of a symbol are right, follow, are wrong, are blank."""

    right: int = 0
    follows: int = 0
    wrong: int = 0
    blank: int = 0

    @property
    def count(self) -> int:
        """How many were asked."""
        return self.right + self.follows + self.wrong + self.blank

    @property
    def status(self) -> str:
        """`right`, `follows`, `wrong` or `blank`: the worst that there is, blank only if all is."""
        if self.blank == self.count:
            return "blank"
        if self.wrong:
            return "wrong"
        return "follows" if self.follows else "right"

    def share(self, follow_through: bool) -> float:
        """Return the share of points, 0 to 1."""
        return (self.right + self.follows * follow_through) / self.count


@dataclass(frozen=True)
class WrongNumber:
    """One number that is neither right nor follows."""

    name: str
    layer: int
    direction: str
    t: int
    unit: int
    got: float
    right: float
    own: float  # what follows from the answer's own earlier numbers


@dataclass(frozen=True, eq=False)
class Grade:
    """What one answer is worth, and why.

    Attributes:
        answer: what was graded.
        result: one of `RESULTS`.
        points: percent.
        digits: to how many decimals it is right; None where it is not.
        symbols: name -> how its numbers did.
        causes: the mistakes that give these numbers; several where they cannot be told apart.
        wrong: the numbers wrong in themselves, in the order of computation.
        notes: what was hard to read, what is peculiar.
    """

    answer: Answer
    result: Result
    points: float
    digits: int | None
    symbols: Mapping[str, SymbolMark]
    causes: tuple[LikelyMistake, ...] = ()
    wrong: tuple[WrongNumber, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Whose answer it is."""
        return self.answer.name
