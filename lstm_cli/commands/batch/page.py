"""The results of a batch as a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lstm_cli.commands.batch.work import short
from lstm_cli.show.answer import Answer
from lstm_cli.show.document import Column, Document, Grid


def batch_answer(records: Iterable[Mapping[str, Any]], check: bool = False) -> Answer:
    """Return what `batch` shows; arguments as `batch_document`, data is written as it comes."""
    return Answer(lambda style: batch_document(records, check), {})


def batch_document(records: Iterable[Mapping[str, Any]], check: bool = False) -> Document:
    """Lay out results, one row per sample: its h, or how it compares with its expected numbers.

    Args:
        records: the results, in their JSON form.
        check: whether they were compared.
    """
    heads = ("largest difference", "tolerance", "where") if check else ("h",)
    columns = [Column("sample", fold=True), Column("result", "", fold=True),
               *(Column(head, fold=True) for head in heads)]  # fmt: skip
    cells = map(_compared if check else _answered, records)
    rows = [[*each, *[""] * (len(columns) - len(each))] for each in cells]
    return Document((Grid(columns, rows, gap=1, lead=1),))


def _answered(record: Mapping[str, Any]) -> list[str]:
    if not record["ok"]:
        return [record["id"], "failed", record["error"]["message"]]
    return [record["id"], "ok", ", ".join(map(short, record["h"]))]


def _compared(record: Mapping[str, Any]) -> list[str]:
    if not record["ok"]:
        return _answered(record)
    result = record["check"]
    if result is None:
        return [record["id"], "nothing expected"]
    worst = result["worst"]
    return [
        record["id"],
        "matches" if result["matched"] else "differs",
        short(result["max_abs_diff"]),
        short(result["tolerance"]),
        f"{worst['symbol']}[{worst['unit']}], t = {worst['t']}",
    ]
