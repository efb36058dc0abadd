"""Grades: right, a known mistake, a slip, or unexplained; and the summary of a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from lstm_cli.commands.grade.reading import Submission

Result = Literal["right", "rounded", "incomplete", "mistake", "slip", "unexplained", "blank"]
# In summary order. `rounded`: right to fewer digits than written; `incomplete`: right as far as
# filled in; `slip`: one number wrong, the others right or following from it.
RESULTS: tuple[Result, ...] = get_args(Result)
# Agreement to this many digits or more is not mentioned.
MOST_DIGITS = 6


@dataclass(frozen=True)
class GradeSettings:
    """How to grade: the arguments of `grade`."""

    ask: tuple[str, ...] = ()
    atol: float | None = None
    departures: int = 1
    follow_through: bool = True


@dataclass(frozen=True)
class LikelyMistake:
    """A mistake that gives the answer's numbers.

    Attributes:
        id: id of the finding; two combined mistakes are joined by `+`.
        title: in words.
        departures: (id, title) of each single mistake.
        also: ids of other mistakes that give the same numbers in this exercise.
    """

    id: str
    title: str
    departures: tuple[tuple[str, str], ...]
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class SymbolMark:
    """Counts of a symbol's numbers that are right, follow, are wrong or are blank."""

    right: int = 0
    follows: int = 0
    wrong: int = 0
    blank: int = 0

    @property
    def count(self) -> int:
        """Total of numbers asked."""
        return self.right + self.follows + self.wrong + self.blank

    @property
    def status(self) -> str:
        """The worst of `right`, `follows` and `wrong`, or `blank` if all are blank."""
        if self.blank == self.count:
            return "blank"
        if self.wrong:
            return "wrong"
        return "follows" if self.follows else "right"

    def share(self, follow_through: bool) -> float:
        """Share of the points, 0 to 1."""
        return (self.right + self.follows * follow_through) / self.count


@dataclass(frozen=True)
class WrongNumber:
    """A number that is neither right nor follows from earlier ones."""

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
    """The grade of one answer, with the reasons.

    Attributes:
        answer: the answer.
        result: one of `RESULTS`.
        points: percent.
        digits: number of decimals to which it is right; None if it is not.
        symbols: marks by name.
        causes: the mistakes that give these numbers; several if they cannot be distinguished.
        wrong: the numbers that are wrong in themselves, in order of computation.
        notes: remarks on what was hard to read or unusual.
    """

    answer: Submission
    result: Result
    points: float
    digits: int | None
    symbols: Mapping[str, SymbolMark]
    causes: tuple[LikelyMistake, ...] = ()
    wrong: tuple[WrongNumber, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the person."""
        return self.answer.name


class Summary:
    """Counts over grades.

    Attributes:
        answers: number of answers.
        mean: mean of their points in percent; 0 if there are none.
        results: number of answers with each result.
        mistakes: by id, how many certainly made the mistake.
        possible: by id, for how many more it is one of several that fit.
        titles: titles by id.
        wrong: by (name, unit), how many got it wrong in itself.
        symbols: by name, how many got some of it wrong in itself.
        follows: by name, how many have it right only for their own earlier numbers.
        blank: by name, how many left all of it blank.
    """

    def __init__(self, grades: Sequence[Grade]) -> None:
        self.answers = len(grades)
        self.mean = sum(each.points for each in grades) / max(1, len(grades))
        self.results = Counter(each.result for each in grades)
        self.mistakes, self.possible = Counter[str](), Counter[str]()
        self.titles = dict[str, str]()
        self.wrong, self.symbols = Counter[tuple[str, int]](), Counter[str]()
        self.follows, self.blank = Counter[str](), Counter[str]()
        for grade in grades:
            found = {name: title for cause in grade.causes for name, title in cause.departures}
            self.titles |= found
            (self.mistakes if len(grade.causes) == 1 else self.possible).update(found.keys())
            self.wrong.update({(each.name, each.unit) for each in grade.wrong})
            self.symbols.update({each.name for each in grade.wrong})
            for name, own in grade.symbols.items():
                self.follows[name] += own.status == "follows"
                self.blank[name] += own.status == "blank"

    @property
    def counts(self) -> dict[str, int]:
        """Number of answers with each result that occurs, in the order of `RESULTS`."""
        return {result: self.results[result] for result in RESULTS if self.results[result]}

    @property
    def histogram(self) -> list[tuple[str, str, int, int]]:
        """List (id, title, certain, possible), most frequent first."""
        rows = [(n, title, self.mistakes[n], self.possible[n]) for n, title in self.titles.items()]
        return sorted(rows, key=lambda row: (-row[2], -row[3], row[0]))
