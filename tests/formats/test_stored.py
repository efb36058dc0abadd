"""The cursor of the binary readers: what is asked for is there, or it is refused."""

from __future__ import annotations

import io

import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.formats.stored import BoundedCursor, ReadAt, read_from

DATA = bytes(range(10))


class Damaged(BoundedCursor):
    fault = "a damaged file"
    hint = "write it again"
    cut = "byte {at} of {size}"


@pytest.mark.parametrize("source", [DATA, read_from(io.BytesIO(DATA))])
def test_bytes_in_turn_and_at_a_place(source: bytes | ReadAt) -> None:
    """Taking and skipping go on, peeking does not; whole numbers have the reader's byte order."""
    cursor = Damaged(source, 10, "f.bin")
    assert cursor.take(2) == b"\0\1"
    assert cursor.skip(3) == (2, 3)
    assert cursor.peek(0, 2) == b"\0\1"
    assert cursor.whole(cursor.take(2)) == 5 + 256 * 6
    assert cursor.at == 7
    assert cursor.take(0) == b""


@pytest.mark.parametrize("source", [DATA, read_from(io.BytesIO(DATA))])
@pytest.mark.parametrize(("start", "count"), [(8, 3), (-1, 2), (11, 1), (0, 2**63), (2**70, 1)])
def test_nothing_past_the_end(source: bytes | ReadAt, start: int, count: int) -> None:
    """Bytes that are not all there are refused, with the place and what to do."""
    with pytest.raises(InputError) as caught:
        Damaged(source, 10, "f.bin").peek(start, count)
    assert caught.value.what == f"a damaged file: byte {start:,} of 10"
    assert caught.value.where == f"f.bin, byte {start:,}"
    assert caught.value.hint == "write it again"


def test_a_negative_count_reads_nothing() -> None:
    """A size that a file gives as negative does not read to the file's end."""
    assert Damaged(read_from(io.BytesIO(DATA)), 10, "f.bin").peek(0, -1) == b""


def test_a_file_that_shrinks_is_cut() -> None:
    """A source that gives less than was there is refused like one that ended before."""
    with pytest.raises(InputError, match="byte 4"):
        Damaged(read_from(io.BytesIO(DATA[:5])), 10, "f.bin").peek(4, 4)
