"""The grades of a class, as Python and the command ask for them.

The grader marks an answer and looks for the mistake behind wrong numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

from lstm_cli.base.arrays import Array, to_numpy
from lstm_cli.base.errors import ArgumentError, InputError, kind_of, safe
from lstm_cli.cell.weights import Model
from lstm_cli.commands.grade.marking import Mark, Marked, mark
from lstm_cli.commands.grade.reading import Submission, from_json, read_answers
from lstm_cli.commands.grade.results import (
    MOST_DIGITS,
    Grade,
    GradeSettings,
    LikelyMistake,
    Result,
    SymbolMark,
    WrongNumber,
)
from lstm_cli.commands.grade.sheet import (
    LEAST_DECIMALS,
    Sheet,
    SheetPlace,
    sheet_of,
    symbols_of,
    unpadded,
)
from lstm_cli.commands.grade.show import Gradebook
from lstm_cli.engine.agreement import Precision, decimals_within
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.engine.run import Trace, need_trace, need_whole
from lstm_cli.mistakes.diagnosis import diagnose, right_variant
from lstm_cli.mistakes.expected import Expected, ExpectedVector, in_order
from lstm_cli.mistakes.search import Finding
from lstm_cli.mistakes.states import NARROW_TYPES
from lstm_cli.mistakes.variant_run import Cache, Mistake
from lstm_cli.samples import BadSample
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import GivenSamples, SampleSettings, samples_of

Values: TypeAlias = Mapping[tuple[int, str], Array]
# A file of answers, or an answer as a dict: {"name": "Ann", "h": [0.1, 0.2]}.
GivenAnswer: TypeAlias = str | PathLike[str] | Mapping[str, Any] | Submission
# Mistakes that do not count on paper.
ROUNDINGS = ("rounded-on-the-way", *NARROW_TYPES)
# An answer less precise than this share of the largest right number is wrong, not rounded.
ROUGHEST = 0.05
# Limit on the cached values of a list of candidates; beyond it each diagnosis computes its own.
MAX_BYTES = 2**28


def grade(
    exercise: Trace | GivenSamples,
    answers: GivenAnswer | Iterable[GivenAnswer],
    *,
    ask: Sequence[str] = (),
    atol: float | None = None,
    departures: int = 1,
    follow_through: bool = True,
    name: str = "exercise",
    progress: Callable[[Iterator[Grade], int], Iterator[Grade]] = lambda grades, total: grades,
) -> Gradebook:
    """Grade many answers to one exercise.

    Args:
        exercise: the right run, of one sample; or the exercise as a file of one sample or a dict.
        answers: files of answers (CSV, JSONL, JSON); dicts such as
            `{"name": "Ann", "f": [0.6, 0.4], "h": ["0.10", "0.20"]}`, where text keeps the zeros
            that were written; or several of these.
        ask: symbols that were asked for; () is what the answers have.
        atol: a tolerance in place of what the numbers' digits allow.
        departures: how many mistakes to look for at once, 1 or 2.
        follow_through: whether numbers that are right for the answer's own earlier ones count.
        name: the exercise's name, where it has none of its own.
        progress: is given the grades as they are made and their number, and yields them.

    Returns:
        A gradebook: `grades`, one per answer in order, and the `summary` of the class.

    Raises:
        ArgumentError: what is no exercise or no answer.
        UsageError: a symbol asked for that the cell does not compute.
        InputError: a file as a whole cannot be read, or no answer holds what can be asked.
    """
    if isinstance(exercise, Trace | Model):
        need_trace(exercise, "grade", single=True)
    trace, name = (exercise, name) if isinstance(exercise, Trace) else _exercise(exercise)
    need_whole(trace, "grade")
    several = isinstance(answers, Iterable) and not isinstance(answers, str | PathLike | Mapping)
    given = list(answers) if several else [answers]  # type: ignore[arg-type] # Submission
    read = list(_answers(given, tuple(symbols_of(trace))))
    files = [str(each) for each in given if isinstance(each, str | PathLike)]
    where = safe(", ".join(files)) or "answers"
    if not read:
        raise InputError(
            "there are no answers", where=where, hint="a row for each, below the header"
        )
    names = (ask,) if isinstance(ask, str) else tuple(ask)
    sheet = sheet_of(trace, read, names)
    if not sheet.asked:
        raise InputError(
            "no answer holds a number that the cell computes", where=where,
            hint='a column or a member for each symbol, as in {"name": "Ann", "h": [0.1, 0.2]}',
        )  # fmt: skip
    settings = GradeSettings(names, atol, departures, follow_through)
    grader = Grader(sheet, settings, Counter(answer.name for answer in read))
    graded = progress(map(grader.grade, read), len(read))
    return Gradebook(name, sheet, settings, tuple(graded))


def _exercise(given: GivenSamples) -> tuple[Trace, str]:
    """Return the right run of the one sample, and its name.

    Raises:
        InputError: there are several.
        LstmStepError: it cannot be read or run.
    """
    samples = list(samples_of(given))
    if len(samples) != 1:
        raise InputError(
            f"{len(samples)} exercises are given, but answers belong to one",
            where="exercise",
            hint="give one sample",
        )
    (sample,) = samples
    if isinstance(sample, BadSample):
        raise sample.error
    return sample_trace(sample, SampleSettings()), sample.id.text


def _answers(given: Sequence[Any], symbols: tuple[str, ...]) -> Iterator[Submission]:
    """Yield answers; those of files say under "file", if there are several, where they are from."""
    for number, each in enumerate(given, 1):
        match each:
            case Submission():
                yield each
            case Mapping():
                text = json.dumps([each], default=_as_lists)
                yield from (replace(answer, line=number) for answer in from_json(text, symbols))
            case str() | PathLike():
                where = {"file": str(each)} if len(given) > 1 else {}
                for answer in read_answers(str(each), symbols):
                    yield replace(answer, other={**where, **answer.other})
            case _:
                raise ArgumentError(
                    f"{kind_of(each)} in place of an answer", where=f"answer {number}",
                    hint='{"name": "Ann", "h": [0.1, 0.2]}, or a file of answers',
                )  # fmt: skip


def _as_lists(value: object) -> Any:
    """Return an array of any library as lists, for JSON."""
    if not hasattr(value, "__array__") and not hasattr(value, "detach"):
        raise ArgumentError(f"{kind_of(value)} in place of numbers", where="answers",
                            hint='{"name": "Ann", "h": [0.1, 0.2]}')  # fmt: skip
    return to_numpy(value).tolist()


# ---- an answer


@dataclass(frozen=True)
class _Verdict:
    """The part of a grade that depends only on the numbers, shared by identical answers."""

    result: Result
    digits: int | None
    causes: tuple[LikelyMistake, ...] = ()


class Grader:
    """Grades answers to one exercise; identical numbers are diagnosed once."""

    def __init__(self, sheet: Sheet, settings: GradeSettings, times: Counter[str]) -> None:
        self.sheet, self.settings = sheet, settings
        self.times = times  # how many answers a name has
        self.bank = Bank(sheet.trace)
        self.known: dict[bytes, _Verdict] = {}

    def grade(self, answer: Submission) -> Grade:
        """Return the grade of one answer."""
        numbers, notes = self.sheet.numbers(answer)
        times = self.times[answer.name]
        marked = mark(numbers, self.sheet, self.settings.atol)
        padded = False
        if self.settings.atol is None and _wrong_numbers(marked):
            # Zeros that a spreadsheet appended to every number are not digits of the answer.
            shorter = unpadded(numbers)
            if shorter is not None:
                marked, padded = mark(shorter, self.sheet), True
        key = b"".join(
            repr(place).encode() + each.values.tobytes() + each.decimals.tobytes()
            for place, each in sorted(numbers.items())
        )
        if key not in self.known:
            self.known[key] = self._verdict(marked, padded)
        verdict = self.known[key]
        symbols = self._symbols(marked, forgiving=verdict.result in ("right", "rounded"))
        shares = [each.share(self.settings.follow_through) for each in symbols.values()]
        return Grade(
            answer, verdict.result, 100 * sum(shares) / max(1, len(shares)), verdict.digits,
            symbols, verdict.causes,
            () if verdict.result == "rounded" else tuple(self._wrong(marked)),
            (*dict.fromkeys((*answer.notes, *notes)),
             *[f"{times} answers with this name"] * (times > 1)),
        )  # fmt: skip

    def _symbols(
        self, marked: Mapping[SheetPlace, Marked], forgiving: bool
    ) -> dict[str, SymbolMark]:
        """Return the marks by name; `forgiving` counts everything written as right."""
        counts: dict[str, Counter[Mark]] = {name: Counter() for name in self.sheet.names}
        for place, asked in self.sheet.asked.items():
            for each in marked[place].marks[asked.units].tolist():
                own = Mark.RIGHT if forgiving and each != Mark.BLANK else Mark(each)
                counts[asked.name][own] += 1
        return {
            name: SymbolMark(own[Mark.RIGHT], own[Mark.FOLLOWS], own[Mark.WRONG], own[Mark.BLANK])
            for name, own in counts.items()
        }

    def _wrong(self, marked: Mapping[SheetPlace, Marked]) -> Iterator[WrongNumber]:
        for place, each in marked.items():
            layer = self.sheet.trace.layers[place.run]
            asked = self.sheet.asked.get(place)
            for unit in np.flatnonzero(each.marks == Mark.WRONG).tolist():
                yield WrongNumber(
                    asked.name if asked else place.symbol, layer.layer, layer.direction, place.t,
                    unit, float(each.got[unit]), float(each.right[unit]), float(each.own[unit]),
                )  # fmt: skip

    def _verdict(self, marked: Mapping[SheetPlace, Marked], padded: bool) -> _Verdict:
        asked = [(marked[place], own.units) for place, own in self.sheet.asked.items()]
        there = np.concatenate([each.marks[units] for each, units in asked])
        if not (there != Mark.BLANK).any():
            return _Verdict("blank", None)
        wrong = _wrong_numbers(marked)
        if not wrong:
            full: Result = "incomplete" if (there == Mark.BLANK).any() else "right"
            full = "rounded" if padded and full == "right" else full
            written = np.concatenate([each.decimals[units] for each, units in asked])
            least = int(written[there != Mark.BLANK].min())
            return _Verdict(full, max(LEAST_DECIMALS, min(MOST_DIGITS, least)))
        causes, rounding = self._causes(marked)
        if causes:
            return _Verdict("mistake", None, causes)
        digits = self._rough_digits(marked)
        if digits is not None and (rounding or digits >= LEAST_DECIMALS):
            return _Verdict("rounded", digits)
        alone = wrong == 1 and (there == Mark.RIGHT).any()
        return _Verdict("slip" if alone else "unexplained", None)

    def _rough_digits(self, marked: Mapping[SheetPlace, Marked]) -> int | None:
        """Return the number of decimals to which all numbers are rounded correctly, or None."""
        if self.settings.atol is not None:
            return None
        worst = 0.0
        for each in marked.values():
            there = each.marks != Mark.BLANK
            off = np.abs(each.got - each.right)[there]
            if off.size:
                worst = max(worst, float(off.max()))
                if not off.max() <= ROUGHEST * np.abs(each.right).max():
                    return None
        return decimals_within(worst) if worst else MOST_DIGITS

    def _causes(
        self, marked: Mapping[SheetPlace, Marked]
    ) -> tuple[tuple[LikelyMistake, ...], bool]:
        """Return the mistakes that give these numbers, and whether intermediate rounding does."""
        trace = self.sheet.trace
        expected = _expected(marked, trace)
        diagnosis = diagnose(
            trace, expected, departures=self.settings.departures, judge=self.bank, separating=False
        )
        if diagnosis.verdict not in ("explained", "ambiguous"):
            return (), False
        real = [each for each in diagnosis.findings
                if any(row.id not in ROUNDINGS for row in each.departures)]  # fmt: skip
        # Mix-ups of frameworks matter only if nothing simpler fits.
        plain = [each for each in real if any(row.kind != "convention" for row in each.departures)]
        causes = self._grouped(plain or real, expected)
        return causes, len(real) < len(diagnosis.findings)

    def _grouped(
        self, findings: Sequence[Finding], expected: Expected
    ) -> tuple[LikelyMistake, ...]:
        """Return the causes, merging those that give the same numbers in this exercise."""
        groups: list[tuple[Array | None, list[Finding]]] = []
        for finding in findings:
            numbers = self.bank.numbers(finding, expected)
            for first, group in groups:
                if first is not None and numbers is not None and np.allclose(
                    first, numbers, rtol=0, atol=1e-12, equal_nan=True
                ):  # fmt: skip
                    group.append(finding)
                    break
            else:
                groups.append((numbers, [finding]))
        return tuple(_cause(group[0], group[1:]) for _, group in groups)


def _wrong_numbers(marked: Mapping[SheetPlace, Marked]) -> int:
    return sum(int((each.marks == Mark.WRONG).sum()) for each in marked.values())


def _cause(finding: Finding, same: Sequence[Finding]) -> LikelyMistake:
    rows = finding.departures
    also = (*finding.aliases, *(name for each in same for name in (each.id, *each.aliases)))
    return LikelyMistake(
        finding.id, "; and ".join(row.title for row in rows),
        tuple((row.id, row.title) for row in rows), also,
    )  # fmt: skip


def _expected(marked: Mapping[SheetPlace, Marked], trace: Trace) -> Expected:
    """Convert an answer's numbers to expected values for a diagnosis."""
    expected, decimals = [], dict[str, int]()
    for place, each in marked.items():
        there = each.marks != Mark.BLANK
        if there.any():
            own = int(each.decimals[there].min())
            decimals[place.symbol] = min(own, decimals.get(place.symbol, own))
            expected.append(
                ExpectedVector(
                    place.run, place.symbol, place.t, each.got, np.maximum(each.tolerance, 1e-15)
                )
            )
    precision = {
        symbol: Precision(f"{count} decimals", "float32", np.array([10.0**-count]), count)
        for symbol, count in decimals.items()
    }
    return Expected(tuple(in_order(expected, trace)), precision)


class Bank:
    """Judges candidates like `Search`, from values cached between searches."""

    def __init__(self, trace: Trace) -> None:
        self.right = right_variant(trace)
        self.symbols = list(dict.fromkeys(s for each in trace.layers for s in each.cell.symbols))
        self.size = 8 * sum(v.size for each in trace.layers for v in each.values.values())
        # The candidates of a list that apply, and their values: (run, symbol) -> `(K, T, n)`.
        self.blocks: dict[tuple[str, ...], tuple[list[Finding], Values]] = {}

    def __call__(
        self, candidates: Sequence[tuple[Mistake, ...]], expected: Expected
    ) -> list[Finding] | None:
        """Return the candidates that apply with their differences; None if there are too many."""
        if len(candidates) * self.size > MAX_BYTES:
            return None
        # The number of decimals of a rounding row is only in its title.
        key = tuple(row.id + row.formula for departures in candidates for row in departures)
        if key not in self.blocks:
            self.blocks[key] = self._compute(candidates)
        findings, values = self.blocks[key]
        excess, difference = np.zeros((2, len(findings)))
        for vector in expected.vectors:
            ours = values.get((vector.run, vector.symbol))
            wide = len(findings), len(vector.values)
            off = np.full(wide, np.inf) if ours is None else np.abs(
                ours[:, vector.t - 1] - vector.values
            )  # fmt: skip
            off[np.isnan(off)] = np.inf
            off[:, np.isnan(vector.values)] = 0.0
            difference = np.maximum(difference, off.max(axis=1))
            excess = np.maximum(excess, (off / vector.tolerance).max(axis=1))
        return [
            replace(finding, difference=float(far), excess=float(over))
            for finding, far, over in zip(findings, difference, excess, strict=True)
        ]

    def numbers(self, finding: Finding, expected: Expected) -> Array | None:
        """Flat numbers of a finding at the positions of the expected; None if not cached."""
        for findings, values in self.blocks.values():
            for place, each in enumerate(findings):
                if each.id == finding.id:
                    rows = (values[c.run, c.symbol][place, c.t - 1] for c in expected.vectors)
                    return np.concatenate(list(rows))
        return None

    def _compute(self, candidates: Sequence[tuple[Mistake, ...]]) -> tuple[list[Finding], Values]:
        cache, findings, members = Cache(), [], []
        for departures in candidates:
            finding = Finding(departures, np.inf, np.inf)
            variant = finding.variant(self.right, cache)
            if variant is not None:
                findings.append(finding)
                members.append(variant.member())
        if not members:
            return [], {}
        return findings, evaluate_members(members, self.right.layout, keep=self.symbols).values
