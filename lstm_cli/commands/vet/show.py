"""The answer of `vet`: JSON for programs, documents for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lstm_cli.base.errors import LstmStepError
from lstm_cli.base.numbers import counted, significant
from lstm_cli.base.version import __version__
from lstm_cli.commands.vet.stronger import Stronger
from lstm_cli.commands.vet.suites import Suite, SuiteCause, Verdict
from lstm_cli.commands.vet.trials import NO_PLACE, ROUNDING, SAME, UNREACHED, is_order
from lstm_cli.files.output import json_text, plain_list
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
    Words,
    write,
)

Json = dict[str, Any]

# The order in which kinds of mistakes are listed.
KINDS = ("order", "bias", "weights", "equation", "states", "sequence", "numbers")
MOST_IDS = 8
# Below this width, titles are on a separate line below the ids.
NARROW = 60


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
        "causes": [_cause_record(each) for each in suite.causes],
        "not_applicable": [
            {"id": each.row.id, "reason": each.reason} for each in suite.verdicts if each.reason
        ],
        "failed": _errors(suite.failed),
        "mismatched": _errors(suite.mismatched),
        "unchecked": list(suite.unchecked),
    }
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


def _cause_record(each: SuiteCause) -> Json:
    cause = each.cause
    return {"id": cause.id, "sentence": cause.sentence, "change": cause.change,
            "samples": each.samples, "hides": list(cause.hides)}  # fmt: skip


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
    """Describe suites to a reader: one in full, several by a line each.

    Args:
        suites: those that have samples.
        made: a stronger vector.
        target: the file of the stronger vector.
        every: whether the verdict on each mistake is told, for one suite.
    """
    if len(suites) > 1:
        return vet_summary(suites)
    blocks = [*(_suite(suites[0], every) if suites else ()),
              *(_stronger(made, target) if made else ())]  # fmt: skip
    return Document(blocks)


def vet_summary(suites: Sequence[Suite]) -> Document:
    """Describe suites by a line each; one that is alone also by what passes and why."""
    rows = [_summary(suite) for suite in suites]
    if len(suites) != 1 or not suites[0].blind:
        return Document((Grid(_SUMMARY, rows),))
    causes = [
        (f"{each.cause.sentence} (hides {_ids(each.cause.hides)})", each.cause.change)
        for each in suites[0].causes
    ]
    return Document((Grid(_SUMMARY, rows), _blind(suites[0]), Facts(causes)))


_SUMMARY = (
    Column("test vectors", "file", fold=True),
    Column("samples", right=True, fold=True),
    Column("wrong gate orders that pass", "orders pass", right=True, fold=True),
    Column("mistakes that pass", "mistakes pass", right=True, fold=True),
    Column("strength", right=True, fold=True),
)


def _summary(suite: Suite) -> tuple[Words, ...]:
    passing, orders = suite.orders
    return (
        suite.file.text, str(len(suite.subjects)),
        f"{passing} of {orders}" if orders else "none apply",
        f"{suite.applicable - suite.seen} of {suite.applicable}", percent(suite.strength),
    )  # fmt: skip


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


def _cause(each: SuiteCause, samples: int) -> Iterator[Paragraph]:
    where = f" ({each.samples} of {samples} samples)" if samples > 1 else ""
    yield Paragraph(each.cause.sentence + where)
    yield Paragraph(f"hides {_ids(each.cause.hides)}", "note", indent=2, mark="  ")
    yield Paragraph(each.cause.change, indent=2, mark="→ ")


def _ids(names: Sequence[str]) -> str:
    """Join ids, with wrong gate orders as a count."""
    orders = [name for name in names if name.startswith("gates-") and len(name) == 10]
    others = [name for name in names if name not in orders]
    if len(orders) == 1:
        others, orders = [*orders, *others], []
    told = [f"{len(orders)} gate orders"] * bool(orders) + others[:MOST_IDS]
    more = len(others) - MOST_IDS
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


_LEFT_OUT = {
    NO_PLACE: "not applicable to the cell",
    SAME: "equivalent whatever the numbers",
    UNREACHED: "with limits that no value reaches",
    ROUNDING: "types that only round",
}

# The same for a table column.
_WORDS = {NO_PLACE: "not applicable", SAME: "equivalent", UNREACHED: "not reached",
          ROUNDING: "only rounds"}  # fmt: skip


def _notcounted(suite: Suite) -> Iterator[str]:
    counts = Counter(each.reason for each in suite.verdicts if each.reason)
    told = [f"{counts[reason]} {words}" for reason, words in _LEFT_OUT.items() if counts[reason]]
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
        cells = (each.row.kind, each.row.id, _WORDS.get(each.reason, each.word), difference)
        rows.append([Span(cell, tone) for cell in cells])
    return Grid(columns, rows, narrow=NARROW)


def _stronger(made: Stronger, target: str) -> Iterator[Block]:
    steps = " and ".join(str(len(each["x"])) for each in made.documents)
    count = counted(len(made.documents), "sample")
    yield from (Gap(), Heading(f"stronger: {target} · {count}, T = {steps}"))
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
