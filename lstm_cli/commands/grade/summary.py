"""Summary of a class: how many were right, the mistakes made, and where most went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from lstm_cli.base.errors import safe
from lstm_cli.commands.grade.results import RESULTS, Grade, GradeSettings
from lstm_cli.commands.grade.sheet import Sheet


@dataclass
class Summary:
    """Counts over grades.

    Attributes:
        answers: number of answers.
        points: their points in percent.
        results: number of answers with each result.
        mistakes: by id, how many certainly made the mistake.
        possible: by id, for how many more it is one of several that fit.
        titles: titles by id.
        wrong: by (name, unit), how many got it wrong in itself.
        follows: by name, how many have it right only for their own earlier numbers.
        blank: by name, how many left all of it blank.
    """

    answers: int = 0
    points: list[float] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    mistakes: Counter[str] = field(default_factory=Counter)
    possible: Counter[str] = field(default_factory=Counter)
    titles: dict[str, str] = field(default_factory=dict)
    wrong: Counter[tuple[str, int]] = field(default_factory=Counter)
    symbols: Counter[str] = field(default_factory=Counter)
    follows: Counter[str] = field(default_factory=Counter)
    blank: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, grades: Iterable[Grade]) -> Summary:
        """Summarize grades."""
        summary = cls()
        for each in grades:
            summary.add(each)
        return summary

    def add(self, grade: Grade) -> None:
        """Count one grade."""
        self.answers += 1
        self.points.append(grade.points)
        self.results[grade.result] += 1
        found = {name: title for cause in grade.causes for name, title in cause.departures}
        self.titles |= found
        (self.mistakes if len(grade.causes) == 1 else self.possible).update(found.keys())
        self.wrong.update({(each.name, each.unit) for each in grade.wrong})
        self.symbols.update({each.name for each in grade.wrong})
        for name, own in grade.symbols.items():
            self.follows[name] += own.status == "follows"
            self.blank[name] += own.status == "blank"

    @property
    def mean(self) -> float:
        """Mean of the points; 0 if there are none."""
        return sum(self.points) / len(self.points) if self.points else 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Number of answers with each result that occurs, in the order of `RESULTS`."""
        return {result: self.results[result] for result in RESULTS if self.results[result]}

    @property
    def histogram(self) -> list[tuple[str, str, int, int]]:
        """List (id, title, certain, possible), most frequent first."""
        rows = [(n, title, self.mistakes[n], self.possible[n]) for n, title in self.titles.items()]
        return sorted(rows, key=lambda row: (-row[2], -row[3], row[0]))


@dataclass(frozen=True, eq=False, repr=False)
class Gradebook:
    """All grades of an exercise.

    Attributes:
        exercise: its name.
        sheet: what was asked.
        settings: how it was graded.
        grades: one per answer, in order.
    """

    exercise: str
    sheet: Sheet
    settings: GradeSettings
    grades: tuple[Grade, ...]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {result}" for result, count in self.summary.counts.items())
        return f"Gradebook('{safe(self.exercise)}': {len(self.grades)} answers: {counts})"

    @cached_property
    def summary(self) -> Summary:
        """Summary of the class."""
        return Summary.of(self.grades)
