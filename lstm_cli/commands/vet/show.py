"""A vetted suite: what was found, as JSON for programs and as a document for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.text import Text

from lstm_cli.base.errors import LstmStepError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.base.numbers import counted, significant
from lstm_cli.base.version import __version__
from lstm_cli.commands.vet.trials import NO_PLACE, ROUNDING, SAME, UNREACHED, Subject, is_order
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.mistakes.variant_run import Mistake
from lstm_cli.show.answer import Answer, one_record
from lstm_cli.show.document import (
    Block,
    Column,
    Document,
    Facts,
    Gap,
    Grid,
    Heading,
    Paragraph,
    Span,
    Tone,
    write,
)
from lstm_cli.show.draw import drawn

Json = dict[str, Any]

# The order in which kinds of mistakes are listed.
KINDS = ("order", "bias", "weights", "equation", "states", "sequence", "numbers")
MOST_IDS = 8
# Below this width, titles are on a separate line below the ids.
NARROW = 60


# ---- what was found


@dataclass(frozen=True, eq=False)
class Verdict:
    """Verdict of a suite on a mistake.

    Attributes:
        row: the mistake.
        word: whether it is seen, passes unseen, or does not apply.
        difference: the largest difference from expected numbers that was computed; 0 if it does
            not apply.
        reason: why it does not apply, "" if it does.
        detail: which units, for `units-permuted`.
    """

    row: Mistake
    word: Literal["seen", "blind", "not applicable"]
    difference: float = 0.0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Blindness:
    """Why some mistakes pass.

    Attributes:
        id: id of the weakness.
        sentence: what is weak.
        change: what to do about it.
        hides: ids of the mistakes that pass because of it.
        samples: number of samples that have it.
    """

    id: str
    sentence: str
    change: str
    hides: tuple[str, ...]
    samples: int = 1


@dataclass(frozen=True, eq=False, repr=False)
class Suite:
    """A vetted file of samples.

    Attributes:
        file: its name.
        subjects: the samples that were vetted.
        verdicts: every mistake of the catalogue, in its order.
        causes: why mistakes pass, starting with the cause that hides most.
        failed: (id, error) of the samples that could not be run.
        mismatched: (id, error) of those whose numbers do not match the correct run.
        unchecked: ids of those without expected numbers.
        stronger: a vector that catches what these let pass, where one was asked for.
    """

    file: Foreign
    subjects: tuple[Subject, ...]
    verdicts: tuple[Verdict, ...]
    causes: tuple[Blindness, ...] = ()
    failed: tuple[tuple[str, LstmStepError], ...] = ()
    mismatched: tuple[tuple[str, LstmStepError], ...] = ()
    unchecked: tuple[str, ...] = ()
    stronger: Stronger | None = None

    def __repr__(self) -> str:
        passing = "".join(f" {each.row.id}" for each in self.blind)
        bad = len(self.failed) + len(self.mismatched)
        return (
            f"Suite('{safe(self.file)}': {len(self.subjects)} samples vetted, {bad} not; "
            f"{self.seen} of {self.applicable} mistakes are seen, pass unseen:{passing or ' none'})"
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield drawn(vet_document([self] if self.subjects else [], self.stronger), console, options)

    @property
    def assumptions(self) -> list[str]:
        """Assumptions about the weights of its samples, without duplicates."""
        models = [subject.model for subject in self.subjects]
        return list(dict.fromkeys(each for model in models for each in model.assumptions))

    @property
    def blind(self) -> list[Verdict]:
        """Mistakes that pass in every sample they apply to."""
        return [each for each in self.verdicts if each.word == "blind"]

    @property
    def applicable(self) -> int:
        """Number of mistakes that apply."""
        return sum(each.word != "not applicable" for each in self.verdicts)

    @property
    def seen(self) -> int:
        """Number of them that some sample distinguishes from the correct run."""
        return sum(each.word == "seen" for each in self.verdicts)

    @property
    def strength(self) -> float:
        """Percentage of mistakes that are seen."""
        return 100.0 * self.seen / self.applicable if self.applicable else 0.0

    @property
    def orders(self) -> tuple[int, int]:
        """Number of wrong gate orders that pass, and the total: 23, or 0 without such a stack."""
        words = [each.word for each in self.verdicts if is_order(each.row)]
        return words.count("blind"), len(words) - words.count("not applicable")

    def same(self) -> list[Verdict]:
        """Mistakes equivalent to the correct run for any numbers of these sizes."""
        return [each for each in self.verdicts if each.reason == SAME]


@dataclass(frozen=True, eq=False)
class Stronger:
    """A stronger vector.

    Attributes:
        documents: one sample each, ready for JSON.
        suite: the result of vetting them.
        by_h: how many mistakes show in h alone, at all steps.
        old_weights_hide: ids that the old weights hide for any x, h and c; () if they are kept.
        new_weights: whether any sample has new weights.
    """

    documents: tuple[Json, ...]
    suite: Suite
    by_h: int
    old_weights_hide: tuple[str, ...]
    new_weights: bool


# ---- for programs


def percent(strength: float) -> str:
    """Format a strength, rounding down so that only a full score is 100 %."""
    return f"{math.floor(strength)} %"


def suite_record(suite: Suite, *, every: bool = False) -> Json:
    """Return the JSON form of a suite; `every` adds the verdict on each mistake."""
    passing, orders = suite.orders
    record: Json = {
        "file": suite.file.text,
        "samples": len(suite.subjects),
        "assumptions": suite.assumptions,
        "applicable": suite.applicable,
        "seen": suite.seen,
        "strength": suite.strength,
        "orders_passing": passing,
        "orders_applicable": orders,
        "blind": [_mistake_record(each) for each in _by_kind(suite.blind)],
        "causes": [
            {"id": each.id, "sentence": each.sentence, "change": each.change,
             "samples": each.samples, "hides": list(each.hides)}
            for each in suite.causes
        ],
        "not_applicable": [
            {"id": each.row.id, "reason": each.reason} for each in suite.verdicts if each.reason
        ],
        "failed": _errors(suite.failed),
        "mismatched": _errors(suite.mismatched),
        "unchecked": list(suite.unchecked),
    }  # fmt: skip
    if every:
        record["mistakes"] = [
            {**_mistake_record(each), "verdict": each.word} for each in _by_kind(suite.verdicts)
        ]
    return record


def _mistake_record(each: Verdict) -> Json:
    return {
        "id": each.row.id, "title": each.row.title, "kind": each.row.kind,
        "max_abs_diff": plain_list(np.asarray(each.difference)), "detail": each.detail,
    }  # fmt: skip


def _errors(pairs: Iterable[tuple[str, LstmStepError]]) -> list[Json]:
    return [{"id": name, "error": error.as_record()} for name, error in pairs]


def stronger_record(made: Stronger, target: str) -> Json:
    """Return the JSON form of a stronger vector."""
    suite = made.suite
    return {
        "file": target,
        "samples": len(made.documents),
        "steps": [len(each["x"]) for each in made.documents],
        "applicable": suite.applicable,
        "seen": suite.seen,
        "strength": suite.strength,
        "seen_by_h": made.by_h,
        "new_weights": made.new_weights,
        "old_weights_hide": list(made.old_weights_hide),
        "blind": [_mistake_record(each) for each in _by_kind(suite.blind)],
        "untellable": [each.row.id for each in suite.same()],
    }


def _by_kind(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return sorted(verdicts, key=lambda each: KINDS.index(each.row.kind))


# ---- for people: documents


def vet_answer(
    suites: Sequence[Suite], made: Stronger | None = None, stronger: str = "", *, every: bool
) -> Answer:
    """Return what `vet` answers; arguments as `vet_document`, suites without subjects too."""
    there = [suite for suite in suites if suite.subjects]

    def records() -> Iterator[dict[str, Any]]:
        return (suite_record(suite, every=every) for suite in suites)

    def whole() -> dict[str, Any]:
        return {
            "schema": "lstm-step/1", "command": "vet", "version": __version__,
            "suites": list(records()),
            "stronger": None if made is None else stronger_record(made, stronger),
        }  # fmt: skip

    return Answer(
        lambda style: vet_document(there, made, stronger, every=every),
        {**one_record(whole),
         "jsonl": lambda: (json_text(each) + "\n" for each in records()),
         "markdown": lambda: write(vet_summary(there), "markdown")},
    )  # fmt: skip


def vet_document(
    suites: Sequence[Suite], made: Stronger | None = None, target: str = "", *, every: bool = False
) -> Document:
    """Describe suites that have samples, and a stronger vector in a target file, to a reader.

    One is described in full, with the verdict on every mistake if asked; several by a line each.
    """
    if len(suites) > 1:
        return vet_summary(suites)
    told = _suite(suites[0], every) if suites else ()
    return Document([*told, *(_stronger(made, target) if made else ())])


def vet_summary(suites: Sequence[Suite]) -> Document:
    """Describe suites by a line each; one that is alone also by what passes and why."""
    rows = [
        (each.file.text, str(len(each.subjects)),
         f"{each.orders[0]} of {each.orders[1]}" if each.orders[1] else "none apply",
         f"{each.applicable - each.seen} of {each.applicable}", percent(each.strength))
        for each in suites
    ]  # fmt: skip
    if len(suites) != 1 or not suites[0].blind:
        return Document((Grid(_SUMMARY, rows),))
    causes = [
        (f"{each.sentence} (hides {_ids(each.hides)})", each.change) for each in suites[0].causes
    ]
    return Document((Grid(_SUMMARY, rows), _blind(suites[0]), Facts(causes)))


_SUMMARY = (
    Column("test vectors", "file", fold=True),
    Column("samples", right=True, fold=True),
    Column("wrong gate orders that pass", "orders pass", right=True, fold=True),
    Column("mistakes that pass", "mistakes pass", right=True, fold=True),
    Column("strength", right=True, fold=True),
)


def _suite(suite: Suite, every: bool) -> Iterator[Block]:
    """Yield its strength, which mistakes pass unseen, and why."""
    yield Heading((suite.file, f" · {counted(len(suite.subjects), 'sample')}"))
    yield _strength(suite)
    yield Paragraph(_orders(suite))
    if suite.blind:
        yield from (Gap(), Heading("pass unseen"), _blind(suite))
    if suite.causes:
        yield from (Gap(), Heading("why, and what to change"))
        for each in suite.causes:
            yield from _cause(each, len(suite.subjects))
    yield Gap()
    for line in _notcounted(suite):
        yield Paragraph(line, "note")
    if every:
        yield from (Gap(), _verdicts(suite))


def _strength(suite: Suite) -> Paragraph:
    passing = suite.applicable - suite.seen
    text = f"strength {percent(suite.strength)}: {suite.seen} of {suite.applicable} mistakes are "
    text += "seen" + (f", {passing} pass{'es' * (passing == 1)} unseen" if passing else "")
    full, nearly = suite.strength == 100.0, suite.strength >= 90
    return Paragraph(text, "good" if full else "fair" if nearly else "bad")


def _orders(suite: Suite) -> str:
    passing, orders = suite.orders
    if not orders:
        return "gate orders: there is no stack of four gates to misread"
    if not passing:
        return f"gate orders: none of the {orders} wrong ones passes"
    how_many = f"all {orders}" if passing == orders else f"{passing} of the {orders}"
    return f"gate orders: {how_many} wrong ones pass{'es' * (passing == 1)}"


def _blind(suite: Suite) -> Grid:
    columns = (
        Column("kind", "", once=True, only="table"),
        Column("mistake that passes", ""),
        Column("what is done", "", fold=True),
    )
    rows = [(Span(kind, "note"), Span(name, "given"), title)
            for kind, name, title in _blind_rows(suite)]  # fmt: skip
    return Grid(columns, rows, narrow=NARROW)


def _blind_rows(suite: Suite) -> Iterator[tuple[str, str, str]]:
    """Yield kind, id and title of the mistakes that pass, with wrong gate orders on one line."""
    orders = [each for each in suite.blind if is_order(each.row)]
    for each in _by_kind(suite.blind):
        if not is_order(each.row):
            detail = f" ({each.detail})" if each.detail else ""
            yield each.row.kind, each.row.id, each.row.title + detail
        elif each is orders[0]:
            yield each.row.kind, *_orders_row(orders, suite.orders[1])


def _orders_row(orders: Sequence[Verdict], of: int) -> tuple[str, str]:
    if len(orders) == 1:
        return orders[0].row.id, orders[0].row.title
    letters = [each.row.id.removeprefix("gates-") for each in orders]
    which = "any other order" if len(orders) == of else ", ".join(letters)
    return f"gates-… ({len(orders)})", f"a stack of gates in order i f g o is read as {which}"


def _cause(each: Blindness, samples: int) -> Iterator[Paragraph]:
    where = f" ({each.samples} of {samples} samples)" if samples > 1 else ""
    yield Paragraph(each.sentence + where)
    yield Paragraph(f"hides {_ids(each.hides)}", "note", indent=2, mark="  ")
    yield Paragraph(each.change, indent=2, mark="→ ")


def _ids(names: Sequence[str]) -> str:
    """Join ids, with wrong gate orders as a count."""
    orders = [name for name in names if name.startswith("gates-") and len(name) == 10]
    others = [name for name in names if name not in orders]
    if len(orders) == 1:
        others, orders = [*orders, *others], []
    told = [f"{len(orders)} gate orders"] * bool(orders) + others[:MOST_IDS]
    more = len(others) - MOST_IDS
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


# Why a mistake is left out: behind a count, and in a table column.
_LEFT_OUT = {
    NO_PLACE: ("not applicable to the cell", "not applicable"),
    SAME: ("equivalent whatever the numbers", "equivalent"),
    UNREACHED: ("with limits that no value reaches", "not reached"),
    ROUNDING: ("types that only round", "only rounds"),
}


def _notcounted(suite: Suite) -> Iterator[str]:
    counts = Counter(each.reason for each in suite.verdicts if each.reason)
    told = [
        f"{counts[reason]} {words}" for reason, (words, _) in _LEFT_OUT.items() if counts[reason]
    ]
    yield "not counted: " + ", ".join(told)
    same = [each.row.id for each in suite.same()]
    if same:
        yield f"equivalent for this cell and these sizes: {', '.join(same)}"


def _verdicts(suite: Suite) -> Grid:
    columns = (Column("kind"), Column("mistake"), Column("verdict", fold=True),
               Column("largest difference", right=True, fold=True))  # fmt: skip
    rows = []
    for each in _by_kind(suite.verdicts):
        tone: Tone = "note" if each.reason else "strong" if each.word == "blind" else ""
        difference = "" if each.reason else significant(each.difference)
        cells = (
            each.row.kind,
            each.row.id,
            _LEFT_OUT[each.reason][1] if each.reason else each.word,
            difference,
        )
        rows.append([Span(cell, tone) for cell in cells])
    return Grid(columns, rows, narrow=NARROW)


def _stronger(made: Stronger, target: str) -> Iterator[Block]:
    steps = " and ".join(str(len(each["x"])) for each in made.documents)
    count = counted(len(made.documents), "sample")
    named = f": {target}" if target else ""
    yield from (Gap(), Heading(f"stronger{named} · {count}, T = {steps}"))
    yield _strength(made.suite)
    yield Paragraph(f"{made.by_h} of them show in h alone")
    if made.old_weights_hide:
        hidden = _ids(made.old_weights_hide)
        yield Paragraph(f"new weights, since the old ones hide {hidden} for any x, h and c")
    elif made.new_weights:
        yield Paragraph("new weights: a sample cannot name the old ones")
    else:
        yield Paragraph("the weights are kept: other x, h and c are enough")
    if made.suite.blind:
        yield Paragraph(f"not caught: {_ids([each.row.id for each in made.suite.blind])}")
