"""How a diagnosis is shown: the verdict, the first value that departs, the mistake, the fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import counted, decimals, rounded_up, scientific, significant
from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import PLAIN, UNICODE, Style
from lstm_cli.files.output import json_text, one_document, plain_list
from lstm_cli.mistakes.diagnosis import Diagnosis, Difference, Separation
from lstm_cli.mistakes.fixes import commands, corrections, fix_of, frameworks, run_of, title
from lstm_cli.mistakes.search import Finding
from lstm_cli.show.answer import Answer
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
    in_order,
    joined,
    write,
)
from lstm_cli.show.rows import warned

# How many readings, pairs and numbers are shown; JSON has all.
MOST_FINDINGS = 8
MOST_PAIRS = 4
MOST_NUMBERS = 6
# A part of the tolerance below this share of the other is not mentioned.
SEEN = 0.01
_DOES = {"mends": "run", "reproduces": "gives theirs"}

_TONES: dict[str, Tone] = {
    "match": "good", "explained": "fair", "ambiguous": "fair", "unexplained": "bad"
}  # fmt: skip


def diagnosis_record(diagnosis: Diagnosis, name: str, version: str) -> dict[str, Any]:
    """Return the JSON form of a diagnosis."""
    first = diagnosis.first
    return {
        "schema": "lstm-step/1",
        "command": "diagnose",
        "version": version,
        "id": name,
        "engine": diagnosis.trace.engine,
        "verdict": diagnosis.verdict,
        "tolerance": diagnosis.claims.tolerance,
        "precision": {key: each.words for key, each in diagnosis.claims.precision.items()},
        "allowed": _allowed_record(diagnosis),
        "max_abs_diff": _plain(diagnosis.difference),
        "first_difference": None if first is None else _difference_record(first),
        "worst_difference": _difference_record(diagnosis.worst),
        "agree": diagnosis.agree,
        "follows": diagnosis.follows,
        "signature": list(diagnosis.signature),
        "findings": [_finding_record(each, diagnosis) for each in diagnosis.findings],
        "separation": _separation_record(diagnosis.separation),
        "readings_tried": diagnosis.tried,
        "assumptions": [*diagnosis.trace.assumptions, *diagnosis.claims.assumptions],
        **warned(diagnosis.trace.warnings),
    }


def _allowed_record(diagnosis: Diagnosis) -> dict[str, Any] | None:
    """Break the tolerance into its parts; None if it was given."""
    allowed = diagnosis.claims.allowed()
    if allowed is None:
        return None
    printed, arithmetic = map(_plain, allowed)
    return {"print": printed, "arithmetic": arithmetic, "types": _types(diagnosis)}


def _types(diagnosis: Diagnosis) -> list[str]:
    return sorted({each.kind for each in diagnosis.claims.precision.values()})


def _plain(value: float) -> Any:
    return plain_list(np.asarray(value))


def _difference_record(each: Difference) -> dict[str, Any]:
    return asdict(each) | {"got": _plain(each.got), "expected": _plain(each.expected)}


def _finding_record(finding: Finding, diagnosis: Diagnosis) -> dict[str, Any]:
    rows = finding.departures
    return {
        "id": finding.id,
        "title": title(finding, diagnosis),
        "departures": [row.id for row in rows],
        "max_abs_diff": _plain(finding.difference),
        "tolerance_needed": _plain(finding.difference),
        "meaning": " ".join(row.meaning for row in rows),
        "cause": " ".join(row.cause for row in rows),
        "fix": "; ".join(fix_of(row, diagnosis) for row in rows),
        "certain": all(row.certain for row in rows),
        "source": "; ".join(row.source for row in rows),
        "formula": [row.formula for row in rows if row.formula],
        "equations": [each._asdict() for each in corrections(finding, diagnosis, PLAIN)],
        "frameworks": [list(pair) for pair in frameworks(finding, diagnosis)],
        "commands": [
            {"does": does, "run": line} for does, line in commands(finding, diagnosis).items()
        ],
        "also": list(finding.aliases),
        "detail": finding.detail,
    }


def _separation_record(separation: Separation | None) -> dict[str, Any] | None:
    if separation is None:
        return None
    return {
        **{name: plain_list(getattr(separation, name)) for name in ("x", "h", "c", "right")},
        "answers": {name: plain_list(h) for name, h in separation.answers.items()},
        "together": [list(group) for group in separation.groups],
    }


def diagnose_answer(diagnosed: Iterable[tuple[str, Diagnosis]], digits: int = 6) -> Answer:
    """Return what `diagnose` answers.

    Args:
        diagnosed: names and diagnoses; JSON goes out as they come, and they are read once.
        digits: decimals of numbers.
    """

    def records() -> Iterator[str]:
        for name, each in diagnosed:
            yield json_text(diagnosis_record(each, name, __version__)) + "\n"

    return Answer(
        lambda style: in_order(
            diagnose_document(each, name, style=style, digits=digits) for name, each in diagnosed
        ),
        {
            "json": lambda: one_document(records()),
            "jsonl": records,
            "markdown": lambda: write(verdicts_document(diagnosed), "markdown"),
        },
    )


def verdicts_document(diagnosed: Iterable[tuple[str, Diagnosis]]) -> Document:
    """Describe diagnoses by a row each."""
    columns = [Column(head) for head in ("numbers", "verdict", "reading", "what was done", "seen")]
    rows: list[list[Words]] = []
    for name, diagnosis in diagnosed:
        findings = diagnosis.findings if diagnosis.verdict in ("explained", "ambiguous") else ()
        departures = dict.fromkeys(row for each in findings for row in each.departures)
        rows.append([name, diagnosis.verdict, *(joined(each, "; or ") for each in (
            [Span(each.id, code=True) for each in findings],
            [title(each, diagnosis) for each in findings], [row.source for row in departures],
        ))])  # fmt: skip
    return Document((Grid(columns, rows),))


def diagnose_document(
    diagnosis: Diagnosis, name: str, *, style: Style = UNICODE, digits: int = 6
) -> Document:
    """Describe a diagnosis to a reader: the verdict, what departs first, the mistake, the fix.

    Args:
        diagnosis: what was found.
        name: of the numbers in question.
        style: of equations.
        digits: decimals of numbers.
    """
    return Document(tuple(_blocks(diagnosis, name, style, digits)))


def _blocks(diagnosis: Diagnosis, name: str, style: Style, digits: int) -> Iterator[Block]:
    count = sum(int((~np.isnan(vector.values)).sum()) for vector in diagnosis.claims.vectors)
    precision = ", ".join(dict.fromkeys(p.words for p in diagnosis.claims.precision.values()))
    yield Heading(f"{name} · {counted(count, 'number')} compared, {precision}")
    for assumption in (*diagnosis.trace.assumptions, *diagnosis.claims.assumptions):
        yield Paragraph(f"assumed: {assumption}", "note")
    verdict = diagnosis.verdict
    yield Paragraph(f"{verdict}: {_verdict_words(diagnosis)}", _TONES[verdict])
    yield from (Gap(), Facts(list(_facts(diagnosis))))
    if verdict == "match":
        return
    many = len(diagnosis.findings) > 1
    for place, finding in enumerate(diagnosis.findings[:MOST_FINDINGS], 1):
        lead = f"{place}. " if many else ""
        yield from (Gap(), Heading(f"{lead}{title(finding, diagnosis)}  [{finding.id}]"))
        yield Facts(list(_finding_facts(finding, diagnosis, style)), indent=2 * many)
    if len(diagnosis.findings) > MOST_FINDINGS:
        yield Paragraph(f"… and {len(diagnosis.findings) - MOST_FINDINGS} more: --json has all")
    if diagnosis.separation is not None:
        yield from (Gap(), *_separation(diagnosis.separation, diagnosis, digits))
    elif verdict == "ambiguous":
        yield Gap()
        yield Paragraph("No h, c and x tell these apart with these weights: use others.")
    yield from (Gap(), _numbers_grid(diagnosis, digits))


def _verdict_words(diagnosis: Diagnosis) -> str:
    off = significant(diagnosis.difference)
    findings = diagnosis.findings
    if diagnosis.verdict == "match":
        if findings and findings[0].id == "digits-cut":
            return f"{title(findings[0], diagnosis)}; the largest difference is {off}"
        typed = f", as {findings[0].departures[0].id} numbers are" if findings else ""
        passing = rounded_up(diagnosis.difference)
        return (
            f"the largest difference is {off}, so a tolerance of {passing} would still pass{typed}"
        )
    if diagnosis.verdict == "explained":
        return title(findings[0], diagnosis)
    if diagnosis.verdict == "ambiguous":
        return f"{len(findings)} readings fit these numbers"
    return f"none of {diagnosis.tried} readings fits; the nearest are below"


def _allowed_words(printed: float, arithmetic: float, diagnosis: Diagnosis) -> str:
    """Describe the parts of the tolerance that matter."""
    types = " and ".join(_types(diagnosis))
    parts = []
    if printed > SEEN * arithmetic:
        parts.append(f"{scientific(printed, 1)} for the digits printed")
    if arithmetic > SEEN * printed:
        parts.append(f"{scientific(arithmetic, 1)} for {types} arithmetic in this run")
    return "up to " + " and ".join(parts)


def _facts(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Yield (name, sentence) on where and how numbers depart."""
    allowed = diagnosis.claims.allowed()
    if allowed is not None:
        yield "allowed", _allowed_words(*allowed, diagnosis)
    first = diagnosis.first
    if first is None:
        if diagnosis.excess:
            limit = significant(diagnosis.difference / diagnosis.excess)
            yield "largest", f"{_both(diagnosis.worst, diagnosis)}; compared to {limit}"
        return
    off = significant(abs(first.got - first.expected))
    yield "first to depart", f"{_both(first, diagnosis)}, off by {off}"
    wrong = [symbol for symbol, fine in diagnosis.agree.items() if not fine]
    right = [symbol for symbol, fine in diagnosis.agree.items() if fine]
    departing = f"{', '.join(wrong)} depart{'s' * (len(wrong) == 1)}"
    agreeing = f"{', '.join(right)} agree{'s' * (len(right) == 1)}; " if right else ""
    yield "rows", agreeing + departing
    own = [symbol for symbol in wrong if diagnosis.follows.get(symbol)]
    broken = [symbol for symbol in wrong if diagnosis.follows.get(symbol) is False]
    if own and broken:
        following = f"follow{'s' * (len(own) == 1)} from their other numbers"
        lacking = f"do{'es' * (len(broken) == 1)} not"
        yield "own numbers", f"{', '.join(own)} {following}, {', '.join(broken)} {lacking}"
    yield from (("pattern", sentence) for sentence in diagnosis.signature)


def _both(each: Difference, diagnosis: Diagnosis) -> str:
    several = len(diagnosis.trace.layers) > 1
    side = ", both directions" if each.direction == "both" else f" {each.direction}"
    where = f" of layer {each.layer}{side}" if several else ""
    numbers = f"ours {significant(each.got, 10)}, theirs {significant(each.expected, 10)}"
    return f"{each.symbol}[{each.unit}] at t = {each.t}{where}: {numbers}"


def _finding_facts(
    finding: Finding, diagnosis: Diagnosis, style: Style
) -> Iterator[tuple[str, Words]]:
    rows = finding.departures
    brief = len(diagnosis.findings) > 1
    for each in corrections(finding, diagnosis, style):
        yield "theirs", Span(each.theirs, math=True)
        yield "right", Span(each.right, math=True)
    yield from (("theirs", row.formula) for row in rows if row.formula)
    pairs = frameworks(finding, diagnosis)
    if pairs:
        named = ", ".join(f"{source} as {reader}" for source, reader in pairs[:MOST_PAIRS])
        yield "that is", named + f" … ({len(pairs)} pairs)" * (len(pairs) > MOST_PAIRS)
    if finding.detail:
        yield "which", finding.detail
    for row in rows:
        if not brief:
            yield "what it does", row.meaning
            yield "cause", row.cause
        likely = "" if row.certain else " (a likely cause, not a sure one)"
        yield "fix", fix_of(row, diagnosis) + likely
        if not brief:
            yield "seen", row.source
    for does, line in commands(finding, diagnosis).items():
        yield _DOES[does], line
    if finding.aliases:
        yield "the same", ", ".join(finding.aliases[:6]) + ", …" * (len(finding.aliases) > 6)
    yield "leaves", f"a difference of {significant(finding.difference)} at most"


def _separation(separation: Separation, diagnosis: Diagnosis, digits: int) -> Iterator[Block]:
    yield Heading("To tell them apart, compute this and compare:")
    yield Paragraph(run_of(diagnosis, separation.x, separation.h, separation.c), indent=2)
    answers = [*separation.answers.items()][:MOST_FINDINGS]
    yield Facts([(name, f"h = {_numbers(answer, digits)}")
                 for name, answer in (*answers, ("the right one", separation.right))],
                indent=2)  # fmt: skip
    for group in separation.groups:
        yield Paragraph(f"  with these weights {' and '.join(group)} stay the same")


def _numbers(values: Array, digits: int) -> str:
    shown = ", ".join(decimals(value, digits) for value in values[:MOST_NUMBERS])
    return shown + ", …" * (len(values) > MOST_NUMBERS)


def _numbers_grid(diagnosis: Diagnosis, digits: int) -> Grid:
    """Return theirs beside the right numbers, at the first and the last place that departs."""
    wrong = [vector for vector in diagnosis.claims.vectors
             if vector.excess(vector.ours(diagnosis.trace)).max() > 1]  # fmt: skip
    rows = []
    for vector in {id(each): each for each in (wrong[0], wrong[-1])}.values():
        right = vector.ours(diagnosis.trace)
        t = diagnosis.trace.times[vector.t - 1]
        rows += [(f"{vector.name}, t = {t}", "theirs", _numbers(vector.values, digits)),
                 ("", "right", _numbers(right, digits))]  # fmt: skip
    return Grid((Column(), Column(tone="note"), Column(fold=True)), rows)
