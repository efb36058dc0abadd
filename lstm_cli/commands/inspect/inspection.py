"""Contents of a weight file: its LSTMs, the evidence for their layout, assumptions and ranges."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import LstmStepError, record_in_arguments, safe
from lstm_cli.base.foreign import raw
from lstm_cli.base.numbers import counted, significant
from lstm_cli.cell.cells import describe_edit
from lstm_cli.cell.weights import LstmWeights
from lstm_cli.formats.conventions import convention_named
from lstm_cli.formats.detect import Found, find_lstms
from lstm_cli.formats.read import (
    assemble,
    choose_lstm,
    decide,
    need_path,
    read_contents,
    refuse_strangers,
)
from lstm_cli.formats.registry import format_of
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
    write,
)

SHOWN_TENSORS = 12


class Inspection(dict[str, Any]):
    """The contents of a weight file, as JSON has them; `str` shows them as the command does."""

    def __str__(self) -> str:
        return "".join(write(inspect_document(self), "text"))

    def _repr_markdown_(self) -> str:
        """Markdown for a notebook."""
        return "".join(write(inspect_document(self), "markdown"))


def inspect(
    path: str | PathLike[str], *, lstm: str = "", convention: str = "", external: bool = False
) -> Inspection:
    """Describe the LSTMs in a weight file: sizes, layout and the evidence for it, ranges.

    Args:
        path: a file of a format that `lstm-step list formats` names.
        lstm: the one LSTM to describe, by its name in the file or its number; "" describes all.
        convention: the layout, "" to infer it from names and shapes.
        external: whether an ONNX model may have its weights in files beside it.

    Returns:
        A dict as `inspect --json` has it. An LSTM that cannot be read has an `error` in its place.

    Raises:
        ArgumentError: `path` is no path.
        InputError: the file cannot be read, its names are ambiguous, or it has no such LSTM.
    """
    need_path(path, "inspect")
    found = inspect_file(Path(path), convention, lstm=lstm, external=external)
    return Inspection(found | {"lstms": list(map(record_in_arguments, found["lstms"]))})


def inspect_file(
    path: Path, convention: str = "", *, lstm: str = "", external: bool = False
) -> dict[str, Any]:
    """Describe a file as `inspect` does, with errors in the words of options."""
    contents = read_contents(path, external=external)
    place = safe(path)
    row = convention_named(convention) if convention else None
    found = find_lstms(contents, place, row)
    refuse_strangers(contents, found, place)
    chosen = [choose_lstm(found, lstm, place, contents.refused)] if lstm else found
    return {
        "schema": "lstm-step/1",
        "command": "inspect",
        "file": str(path),
        "format": format_of(path).name,
        "bytes": path.stat().st_size,
        "lstms": [_lstm(found.index(each), each, str(path)) for each in chosen],
        "tensors": [
            {"name": name, "shape": list(info.shape), "dtype": info.dtype.text}
            for name, info in contents.tensors.infos.items()
        ],
        "notes": list(contents.notes),
    }


def _lstm(number: int, found: Found, source: str) -> dict[str, Any]:
    """Describe one LSTM; an error in it becomes part of the report."""
    row = found.convention
    held = [getattr(part.tensors, "infos", part.tensors) for part in found.parts.values()]
    holders = [each for tensors in held for each in tensors.values()]
    known: dict[str, Any] = {
        "number": number,
        "name": found.name.text,
        "convention": row.name,
        "confirmed_by": row.confirmed_by,
        "members": list(found.members),
        "known_by": list(found.known_by),
        "open": [*found.open, *([found.question] if found.question else [])],
        "gate_order": row.order,
        "dtypes": sorted({raw(each.dtype) for each in holders}),
    }
    readings = [each.convention for each in found.readings]
    undecided = len({each.tensors for each in readings}) > 1
    if undecided:
        names = " or ".join(each.name for each in readings)
        known |= {"convention": names, "gate_order": "", "confirmed_by": ""}
    try:
        model = (decide if undecided or not found.readings else assemble)(found, source)
    except LstmStepError as error:
        return known | {"error": error.as_record()}
    first = model.first
    return known | {
        "cell": first.cell.name,
        "equations": describe_edit(first.cell),
        "levels": len(model.layers),
        "directions": list(model.layers[0].directions),
        "input_size": first.input_size,
        "hidden_size": first.hidden_size,
        "output_size": first.output_size,
        "parameters": int(sum(a.size for _, _, w in model.runs for a in w.arrays.values())),
        "ranges": [
            {"layer": level, "direction": direction, **each}
            for level, direction, weights in model.runs
            for each in _ranges(weights)
        ],
    }


def _ranges(weights: LstmWeights) -> Iterator[dict[str, Any]]:
    """Yield name, shape, min, mean and max of each parameter, with `W_k` split into W_k and U_k."""
    wide = weights.output_size
    for name, array in weights.arrays.items():
        parts = {name: array}
        if name.startswith("W_") and name != "W_hr" and array.shape[1] == wide + weights.input_size:
            parts = {name: array[:, wide:], f"U{name[1:]}": array[:, :wide]}
        for part, values in parts.items():
            yield {
                "parameter": part,
                "shape": list(values.shape),
                "min": float(np.min(values)),
                "mean": _mean(values),
                "max": float(np.max(values)),
            }


def _mean(values: Array) -> float:
    """Mean that does not overflow even if the sum would."""
    with np.errstate(over="ignore"):
        mean = float(np.mean(values))
    return mean if np.isfinite(mean) else float(np.sum(values / values.size))


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
        if "ranges" in lstm and not (lstm["members"] and found["lstms"][1:]):  # shown as theirs
            yield _ranges_grid(lstm["ranges"])


def _facts(lstm: dict[str, Any]) -> list[tuple[str, str]]:
    confirmed = lstm["confirmed_by"] or "nothing yet"
    order = f", gates {' '.join(lstm['gate_order'])}" if lstm["gate_order"] else ""
    facts = [("convention", lstm["convention"] + order)]
    facts += [("known by", text) for text in lstm["known_by"]]
    if "error" in lstm:
        first, *others = lstm["error"]["try"].split("\n")
        told = [("error", lstm["error"]["message"]), ("try", first)]
        return [*facts, *told, *(("", each.strip()) for each in others)]
    facts += [("confirmed by", confirmed)]
    sizes = f"I = {lstm['input_size']}, H = {lstm['hidden_size']}"
    if lstm["output_size"] != lstm["hidden_size"]:
        sizes += f", P = {lstm['output_size']}"
    layers = counted(lstm["levels"], "layer")
    facts.insert(0, ("sizes", f"{sizes}, {layers}, {' and '.join(lstm['directions'])}"))
    if lstm["members"]:
        members = ", ".join(map(str, lstm["members"]))
        facts[0] = ("layers", f"{layers}, LSTMs {members}; --lstm NAME runs one alone")
    facts.insert(1, ("numbers", f"{lstm['parameters']:,} as {', '.join(lstm['dtypes'])}"))
    facts += [("departs", text) for text in lstm["equations"]]
    return facts + [("open", text) for text in lstm["open"]]


def _ranges_grid(ranges: list[dict[str, Any]]) -> Grid:
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
