"""Hostile JSON, as a vector, as weights and as samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools import assert_refused, assert_tame, call

# Bytes, words of the message, line and column (0 where there is none), the text over the caret.
DOCUMENTS: dict[str, tuple[bytes, str, tuple[int, int], str]] = {
    "key twice": (b'{"x": [1],\n "x": [2]}', "key 'x' is given twice", (2, 2), '"x"'),
    "NaN": (b'{"x": [1,\n  NaN]}', "NaN is not JSON", (2, 3), "NaN"),
    "Infinity": (b'{"x": [-Infinity]}', "-Infinity is not JSON", (1, 8), "-Infinity"),
    "overflow": (b'{"x": [0, 1e999]}', "1e999 is too large for a double", (1, 11), "1e999"),
    "2**53 + 1": (
        b'{"x": [9007199254740993]}', "9007199254740993 is not exact", (1, 8), "9007199254740993",
    ),
    "5000 digits": (b'{"x": [' + b"9" * 5000 + b"]}", "is not exact as a double", (1, 8), "9" * 40),
    "a word": (b'{"x": [one]}', "not JSON: expecting value", (1, 8), "o"),
    "unfinished": (b'{"x": [1,\n', "not JSON", (2, 1), ""),
    "two documents": (b'{"x": [1]} {}', "not JSON: extra data", (1, 12), "{"),
    "single quotes": (b"{'x': [1]}", "not JSON", (1, 2), "'"),
    "a control character": (b'{"x\x01": [1]}', "control character", (1, 4), "\\x01"),
    "nothing": (b"", "not JSON", (1, 1), ""),
    "not UTF-8": (b'{"x": ["\xff"]}', "not UTF-8 text: byte 8 is 0xff", (0, 0), ""),
    "UTF-16": ('{"x": [1]}'.encode("utf-16"), "not UTF-8 text: byte 0", (0, 0), ""),
    "100,000 deep": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper", (0, 0), ""),
    "100 deep": (b'{"x": [1], "n": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper", (0, 0), ""),
    "deep objects": (
        b'{"x": [1], "n": ' + b'{"a":' * 900 + b"1" + b"}" * 901, "nested deeper", (0, 0), "",
    ),
    "wide characters": (
        '{"名前": 1, "x": NaN}'.encode(), "NaN is not JSON", (1, 16), "NaN",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "what", "place", "token"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_hostile_document_is_refused(
    data: bytes, what: str, place: tuple[int, int], token: str, tmp_path: Path
) -> None:
    """What JSON readers guess at is refused, with line and column and the caret under it."""
    path = tmp_path / "x.json"
    path.write_bytes(data)
    for answer in (call("--x", f"@{path}:x"), call("--x", "1", "--weights", path)):
        assert_refused(answer, 3, what)
        assert_tame(answer)
        if place[0]:
            head, shown, under = answer.where.split("\n")
            assert head.endswith(f", line {place[0]}, column {place[1]}")
            if shown.isascii() and token:
                assert shown[under.index("^") :].startswith(token)
                assert len(under.strip()) == max(1, len(token))


@pytest.mark.parametrize(("data", "what", "place", "token"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_hostile_sample_costs_only_itself(
    data: bytes, what: str, place: tuple[int, int], token: str, tmp_path: Path
) -> None:
    """A hostile line or file becomes one failed record; the samples beside it are answered."""
    (tmp_path / "a.json").write_bytes(data)
    (tmp_path / "b.json").write_text('{"id": "good", "x": [1]}')
    answer = call("batch", tmp_path)
    assert answer.code == 4
    bad, good = answer.lines
    assert not bad["ok"]
    assert what in bad["error"]["message"]
    assert good["id"] == "good"
    assert good["ok"]
    line = data.replace(b"\n", b" ")
    (tmp_path / "c.jsonl").write_bytes(line + b'\n{"id": "good", "x": [1]}\n')
    records = call("batch", tmp_path / "c.jsonl").lines
    assert [each["id"] for each in records[-1:]] == ["good"]
    assert all(not each["ok"] for each in records[:-1])


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """A BOM in front of JSON, JSONL or CSV is passed over."""
    mark = b"\xef\xbb\xbf"
    (tmp_path / "a.json").write_bytes(mark + b'{"x": [1]}')
    (tmp_path / "b.jsonl").write_bytes(mark + b'{"x": [1]}\n{"x": [1]}\n')
    (tmp_path / "c.csv").write_bytes(mark + b"x\n1\n")
    (tmp_path / "d.jsonl").write_bytes(mark + b'[{"x": [1]}]\n')
    answer = call("batch", tmp_path)
    assert answer.code == 0, answer.err
    assert len(answer.lines) == 5


def test_large_whole_numbers_as_floats_are_read(tmp_path: Path) -> None:
    """2**53 is exact, and 1.0e20 says that it is a double."""
    path = tmp_path / "x.json"
    path.write_text('{"x": [9007199254740992, -9007199254740992, 1.0e20]}')
    step = call("--x", f"@{path}:x", "--json").json["steps"][0]
    assert step["x"] == [2.0**53, -(2.0**53), 1e20]


def test_a_layer_of_any_number_takes_no_memory(tmp_path: Path) -> None:
    """A key that claims to be layer 999,999,999 does not make room for the others."""
    path = tmp_path / "w.json"
    names = [f"layer999999999_forward_W_{k}" for k in "figo"]
    path.write_text(json.dumps({name: [[1, 1]] for name in names}))
    answer = call("--x", "1", "--weights", path, "--json")
    assert answer.code in (0, 3)
    if answer.code == 0:
        assert len(answer.json["final"]) == 1


@pytest.mark.parametrize(
    "weights",
    [
        {f"layer{'9' * 5000}_forward_W_f": [[1, 1]]},
        {"W_f": [[1, [1]]]},
        {"W_f": "x"},
        {"W_f": {}},
        [],
        {},
        3,
    ],
    ids=str,
)
def test_hostile_weights_are_refused(weights: object, tmp_path: Path) -> None:
    """No key and no value in a weight file brings out more than an error."""
    path = tmp_path / "w.json"
    path.write_text(json.dumps(weights))
    assert_refused(call("--x", "1", "--weights", path), 3, "w.json")
