"""Output of `vet`, for people and for programs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from lstm_cli.base.errors import LstmStepError
from lstm_cli.base.foreign import markdown, safe
from lstm_cli.base.numbers import significant
from lstm_cli.commands.vet.stronger import Stronger
from lstm_cli.commands.vet.suites import Suite, SuiteCause, Verdict
from lstm_cli.commands.vet.trials import NO_PLACE, ROUNDING, SAME, UNREACHED, is_order
from lstm_cli.files.output import plain_list
from lstm_cli.show.rows import View
from lstm_cli.show.terminal import Page, new_table

Json = dict[str, Any]

# The order in which kinds of mistakes are listed.
KINDS = ("order", "bias", "weights", "equation", "states", "sequence", "numbers")
MOST_IDS = 8
HEADINGS = ("file", "samples", "orders pass", "mistakes pass", "strength")
LONG_HEADINGS = ("test vectors", "samples", "wrong gate orders that pass", "mistakes that pass",
                 "strength")  # fmt: skip
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


# ---- for people: one suite


def print_suite(console: Console, suite: Suite, *, every: bool = False) -> None:
    """Print a suite: its strength, which mistakes pass unseen, and why."""
    page = Page(console, View())
    page.print(page.text(f"{safe(suite.file)} · {_counted(len(suite.subjects), 'sample')}",
                         page.look.heading))  # fmt: skip
    page.print(page.text(_strength(suite), _colour(suite.strength)))
    page.print(page.text(_orders(suite)))
    if suite.blind:
        page.print()
        page.print(page.text("pass unseen", page.look.heading))
        _print_grid(page, _blind_rows(suite))
    if suite.causes:
        page.print()
        page.print(page.text("why, and what to change", page.look.heading))
        for each in suite.causes:
            _print_cause(page, each, len(suite.subjects))
    page.print()
    for line in _not_counted(suite):
        page.print(page.text(line, page.look.note))
    if every:
        page.print()
        _print_every(page, suite)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def _strength(suite: Suite) -> str:
    passing = suite.applicable - suite.seen
    text = f"strength {percent(suite.strength)}: {suite.seen} of {suite.applicable} mistakes are "
    return text + "seen" + (f", {passing} pass{'es' * (passing == 1)} unseen" if passing else "")


def _colour(strength: float) -> str:
    return "bold green" if strength == 100.0 else "bold yellow" if strength >= 90 else "bold red"


def _orders(suite: Suite) -> str:
    passing, orders = suite.orders
    if not orders:
        return "gate orders: there is no stack of four gates to misread"
    if not passing:
        return f"gate orders: none of the {orders} wrong ones passes"
    how_many = f"all {orders}" if passing == orders else f"{passing} of the {orders}"
    return f"gate orders: {how_many} wrong ones pass{'es' * (passing == 1)}"


def _blind_rows(suite: Suite) -> Iterator[tuple[str, str, str]]:
    """Yield kind, id and title of the mistakes that pass, with wrong gate orders on one line."""
    orders = [each for each in suite.blind if is_order(each.row)]
    shown = ""
    for each in _by_kind(suite.blind):
        kind = each.row.kind if each.row.kind != shown else ""
        if not is_order(each.row):
            detail = f" ({each.detail})" if each.detail else ""
            yield kind, each.row.id, each.row.title + detail
        elif each is orders[0]:
            yield kind, *_orders_row(orders, suite.orders[1])
        else:
            continue
        shown = each.row.kind


def _orders_row(orders: Sequence[Verdict], of: int) -> tuple[str, str]:
    if len(orders) == 1:
        return orders[0].row.id, orders[0].row.title
    letters = [each.row.id.removeprefix("gates-") for each in orders]
    which = "any other order" if len(orders) == of else ", ".join(letters)
    return f"gates-… ({len(orders)})", f"a stack of gates in order i f g o is read as {which}"


def _print_grid(page: Page, rows: Iterable[tuple[str, ...]]) -> None:
    if page.console.width < NARROW:
        for _, name, title in rows:
            page.print(page.text(name, page.look.given), overflow="fold")
            page.print(Padding(page.text(title), (0, 0, 0, 2)))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kind, name, title in rows:
        table.add_row(page.text(kind, page.look.note), page.text(name, page.look.given),
                      page.text(title))  # fmt: skip
    page.print(table)


def _print_cause(page: Page, each: SuiteCause, samples: int) -> None:
    where = f" ({each.samples} of {samples} samples)" if samples > 1 else ""
    page.print(page.text(each.cause.sentence + where))
    lines = ((f"hides {_ids(each.cause.hides)}", page.look.note), (each.cause.change, ""))
    for mark, (line, style) in zip(("  ", "→ "), lines, strict=True):
        table = Table.grid()
        table.add_row(page.text(mark), page.text(line, style))
        page.print(Padding(table, (0, 0, 0, 2)))


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


def _not_counted(suite: Suite) -> Iterator[str]:
    counts = Counter(each.reason for each in suite.verdicts if each.reason)
    told = [f"{counts[reason]} {words}" for reason, words in _LEFT_OUT.items() if counts[reason]]
    yield "not counted: " + ", ".join(told)
    same = [each.row.id for each in suite.same()]
    if same:
        yield f"equivalent for this cell and these sizes: {', '.join(same)}"


def _print_every(page: Page, suite: Suite) -> None:
    table = new_table(page, ("kind", "mistake"), gap=2)
    table.add_column("verdict", overflow="fold")
    table.add_column("largest difference", justify="right")
    for each in _by_kind(suite.verdicts):
        style = page.look.note if each.reason else "bold" if each.word == "blind" else ""
        difference = "" if each.reason else significant(each.difference)
        cells = (each.row.kind, each.row.id, _WORDS.get(each.reason, each.word), difference)
        table.add_row(*(page.text(cell, style) for cell in cells))
    for column in table.columns if page.console.width < NARROW else ():
        column.no_wrap, column.overflow = False, "fold"
    page.print(table)


def print_stronger(console: Console, made: Stronger, target: str) -> None:
    """Print a summary of a stronger vector and its strength."""
    page, suite = Page(console, View()), made.suite
    steps = " and ".join(str(len(each["x"])) for each in made.documents)
    page.print()
    page.print(page.text(f"stronger: {target} · {_counted(len(made.documents), 'sample')}, "
                         f"T = {steps}", page.look.heading))  # fmt: skip
    page.print(page.text(_strength(suite), _colour(suite.strength)))
    page.print(page.text(f"{made.by_h} of them show in h alone"))
    if made.old_weights_hide:
        page.print(page.text(
            f"new weights, since the old ones hide {_ids(made.old_weights_hide)} for any x, h "
            "and c"
        ))  # fmt: skip
    elif made.new_weights:
        page.print(page.text("new weights: a sample cannot name the old ones"))
    else:
        page.print(page.text("the weights are kept: other x, h and c are enough"))
    if suite.blind:
        page.print(page.text(f"not caught: {_ids([each.row.id for each in suite.blind])}"))


# ---- for people: several suites


def _summary(suite: Suite) -> tuple[str, ...]:
    passing, orders = suite.orders
    return (
        suite.file.text, str(len(suite.subjects)),
        f"{passing} of {orders}" if orders else "none apply",
        f"{suite.applicable - suite.seen} of {suite.applicable}", percent(suite.strength),
    )  # fmt: skip


def print_suites(console: Console, suites: Sequence[Suite]) -> None:
    """Print one line per suite."""
    page = Page(console, View())
    table = new_table(page, (), gap=2)
    for place, heading in enumerate(HEADINGS):
        table.add_column(heading, overflow="fold", justify="right" if place else "left")
    for suite in suites:
        table.add_row(*(page.text(cell) for cell in _summary(suite)))
    page.print(table)


def to_markdown(suites: Sequence[Suite]) -> Iterator[str]:
    """Yield a Markdown table of suites; for a single suite also what passes and why."""
    yield _line(LONG_HEADINGS) + "|---" + "|---:" * (len(LONG_HEADINGS) - 1) + "|\n"
    for suite in suites:
        yield _line(_summary(suite))
    if len(suites) == 1 and suites[0].blind:
        yield "\n" + _line(("kind", "mistake that passes", "what is done")) + "|---|---|---|\n"
        kind = ""
        for own, name, title in _blind_rows(suites[0]):
            kind = own or kind
            yield _line((kind, name, title))
        yield "\n"
        for each in suites[0].causes:
            cause = each.cause
            hides = f"hides {_ids(cause.hides)}"
            yield f"- {markdown(f'{cause.sentence} ({hides}): {cause.change}')}\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(markdown, cells)) + " |\n"
