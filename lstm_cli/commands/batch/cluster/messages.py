"""Messages to and from workers: texts and numbers, never an object out of a file.

A chunk goes as the text that its file has (`pack`), or by where it is (`ranges`); answers come
back as text. Whoever unpacks a chunk reads the same samples as whoever packed it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import LstmStepError
from lstm_cli.base.foreign import Foreign
from lstm_cli.commands.batch.work import ChunkAnswers
from lstm_cli.files.remote import place_of
from lstm_cli.samples import BadSample, Chunk, Columns, Lines, Objects, Origin, Rows
from lstm_cli.samples.settings import Tally

Message = dict[str, Any]


def pack_origin(origin: Origin) -> list[str]:
    """An origin as names."""
    return [origin.file, origin.stem, str(origin.folder)]


def unpack_origin(names: Sequence[str]) -> Origin:
    """Unpack an origin."""
    file, stem, folder = names
    return Origin(file, stem, place_of(folder))


def pack(chunk: Chunk) -> Message:
    """A chunk as texts and numbers."""
    body: Message
    match chunk:
        case Lines():
            body = {"text": b"\n".join(chunk.raw)}
        case Rows():
            body = {"text": _text([chunk.header, chunk.raw])}
        case Objects():
            errors = {n: (one.id.text, one.error.as_record()) for n, one in enumerate(chunk.raw)
                      if isinstance(one, BadSample)}  # fmt: skip
            objects = [None if n in errors else one for n, one in enumerate(chunk.raw)]
            body = {"errors": errors, "text": _text(objects)}
        case Columns():
            arrays = {n: v for n, v in chunk.raw.items() if not isinstance(v, list)}
            lists = {n: v for n, v in chunk.raw.items() if isinstance(v, list)}
            body = {"order": list(chunk.raw), "text": _text([lists, chunk.common]),
                    "arrays": {n: _pack_array(v) for n, v in arrays.items()}}  # fmt: skip
        case _:
            raise TypeError(f"a chunk of another kind: {type(chunk).__name__}")
    return {"kind": type(chunk).__name__, "origin": pack_origin(chunk.origin),
            "numbers": list(chunk.numbers), **body}  # fmt: skip


def unpack(message: Message) -> Chunk:
    """Unpack a chunk."""
    origin, numbers = unpack_origin(message["origin"]), message["numbers"]
    text = message["text"]
    match message["kind"]:
        case "Lines":
            return Lines(origin, numbers, text.split(b"\n"))
        case "Rows":
            header, rows = json.loads(text)
            return Rows(origin, numbers, rows, header)
        case "Objects":
            objects = json.loads(text)
            for number, (name, record) in message["errors"].items():
                objects[number] = BadSample(Foreign.of(name), unpack_error(record))
            return Objects(origin, numbers, objects)
        case _:
            lists, common = json.loads(text)
            columns = lists | {n: _unpack_array(each) for n, each in message["arrays"].items()}
            ordered = {name: columns[name] for name in message["order"]}
            return Columns(origin, numbers, ordered, common)


def _text(value: Any) -> bytes:
    """JSON; what it cannot express (a date in Parquet) becomes the text that answers show."""
    return json.dumps(value, default=str).encode()


def _pack_array(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()


def _unpack_array(packed: tuple[str, tuple[int, ...], bytes]) -> Array:
    dtype, shape, data = packed
    return np.ndarray(shape, dtype, data)


def pack_answer(answer: ChunkAnswers) -> Message:
    """A chunk's answers as text and numbers."""
    return {"text": "".join(answer.lines).encode(), "tally": asdict(answer.tally),
            "failed": list(answer.failed), "notes": list(answer.notes),
            "files": dict(answer.files)}  # fmt: skip


def unpack_answer(message: Mapping[str, Any]) -> ChunkAnswers:
    """Unpack a chunk's answers."""
    lines = message["text"].decode().splitlines(keepends=True)
    return ChunkAnswers(lines, Tally(**message["tally"]), message["failed"], message["notes"],
                  message["files"])  # fmt: skip


def refused(error: LstmStepError) -> Message:
    """The message that a refused task sends instead of an answer."""
    return {"refused": error.as_record(), "exit_code": int(error.exit_code)}


def unpack_error(record: Mapping[str, str]) -> LstmStepError:
    """Unpack an error, with its code."""
    error = LstmStepError(record["message"], where=record["where"], hint=record["try"])
    error.code = record["code"]
    return error
