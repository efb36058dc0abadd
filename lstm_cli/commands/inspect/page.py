"""The contents of a weight file as a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lstm_cli.base.numbers import counted, significant
from lstm_cli.show.answer import Answer, one_record
from lstm_cli.show.document import Block, Column, Document, Facts, Gap, Grid, Heading, Paragraph

SHOWN_TENSORS = 12


def inspect_answer(found: dict[str, Any]) -> Answer:
    """Return what `inspect` answers; `found` is the result of `inspect_file`."""
    return Answer(lambda style: inspect_document(found), one_record(lambda: found))


def inspect_document(found: dict[str, Any]) -> Document:
    """Describe a weight file; `found` is the result of `inspect_file`."""
    return Document(tuple(_blocks(found)))


def _blocks(found: dict[str, Any]) -> Iterator[Block]:
    count = len(found["tensors"])
    kind = f"{found['format']}, {found['bytes']:,} bytes, {count} tensors"
    yield Heading(f"{found['file']} · {kind}")
    for note in found["notes"]:
        yield Paragraph(f"note: {note}", "note")
    if not found["lstms"]:
        yield Paragraph("no LSTM was recognised; its tensors:")
        for each in found["tensors"][:SHOWN_TENSORS]:
            yield Paragraph(f"{each['name']} {tuple(each['shape'])} {each['dtype']}", indent=2)
        if count > SHOWN_TENSORS:
            yield Paragraph(f"and {count - SHOWN_TENSORS} more: --json", "note", indent=2)
    for lstm in found["lstms"]:
        yield Gap()
        yield Heading(f"LSTM {lstm['number']}: {lstm['name'] or '(unnamed)'}")
        yield Facts(_facts(lstm), once=False)
        if "ranges" in lstm:
            yield _ranges(lstm["ranges"])


def _facts(lstm: dict[str, Any]) -> list[tuple[str, str]]:
    confirmed = lstm["confirmed_by"] or "nothing yet"
    order = f", gates {' '.join(lstm['gate_order'])}" if lstm["gate_order"] else ""
    facts = [("convention", lstm["convention"] + order)]
    facts += [("known by", text) for text in lstm["known_by"]]
    facts += [("confirmed by", confirmed)]
    if "error" in lstm:
        error = lstm["error"]
        return [*facts, ("error", error["message"]), ("try", error["try"])]
    sizes = f"I = {lstm['input_size']}, H = {lstm['hidden_size']}"
    if lstm["output_size"] != lstm["hidden_size"]:
        sizes += f", P = {lstm['output_size']}"
    layers = counted(lstm["levels"], "layer")
    facts.insert(0, ("sizes", f"{sizes}, {layers}, {' and '.join(lstm['directions'])}"))
    facts.insert(1, ("numbers", f"{lstm['parameters']:,} as {', '.join(lstm['dtypes'])}"))
    facts += [("departs", text) for text in lstm["equations"]]
    return facts + [("open", text) for text in lstm["open"]]


def _ranges(ranges: list[dict[str, Any]]) -> Grid:
    several = len({(each["layer"], each["direction"]) for each in ranges}) > 1
    words = [*(["layer"] if several else []), "weights", "shape"]
    rows = []
    for each in ranges:
        where = [f"{each['layer']} {each['direction']}"] if several else []
        shape = " × ".join(map(str, each["shape"]))
        numbers = [significant(each[key], 4) for key in ("min", "mean", "max")]
        rows.append((*where, each["parameter"], shape, *numbers))
    columns = [Column(each) for each in words]
    columns += [Column(each, right=True) for each in ("min", "mean", "max")]
    return Grid(columns, rows)
