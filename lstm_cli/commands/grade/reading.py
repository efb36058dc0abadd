"""Fault-tolerant reading of answers from a file: CSV, JSONL or a JSON array.

A fault in a row costs at most that row: bytes that are not text, unclosed quotes, too many or too
few cells, endless lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lstm_cli.base.errors import InputError, safe
from lstm_cli.cell.cells import LSTM
from lstm_cli.commands.grade.answers import Answer
from lstm_cli.commands.grade.csv_rows import HINT, from_csv
from lstm_cli.commands.grade.json_rows import from_json
from lstm_cli.files.safe import open_checked, open_stdin

MAX_BYTES = 64 * 2**20
MAX_ANSWERS = 100_000


def read_answers(path: str, symbols: Sequence[str] = LSTM.symbols) -> Iterator[Answer]:
    """Yield the answers in a file, or on stdin for `-`.

    Args:
        path: CSV (with commas, semicolons or tabs, as in its header), JSONL, or a JSON array.
        symbols: the symbols that a column may have; other columns are passed through.

    Raises:
        InputError: the file as a whole cannot be read, or no column holds an answer.
    """
    text, place = _text(path), safe(path)
    start = text.lstrip()[:1]
    if not start:
        raise InputError("the file is empty", where=place, hint=HINT)
    rows = from_json(text, symbols) if start in "{[" else from_csv(text, symbols, place)
    for number, answer in enumerate(rows):
        if number >= MAX_ANSWERS:
            raise InputError(
                f"more than {MAX_ANSWERS:,} answers", where=place, hint="split the file"
            )
        yield answer


def _text(path: str) -> str:
    """Read a file as text, whatever its bytes are."""
    if path == "-":
        stdin = open_stdin("reading answers from the terminal; end with Ctrl-D")
        data = stdin.read(MAX_BYTES + 1)
    else:
        with open_checked(Path(path)) as stream:
            try:
                data = stream.read(MAX_BYTES + 1)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise InputError(
                    f"cannot read: {reason}", where=safe(path), hint="check the path"
                ) from None
    if len(data) > MAX_BYTES:
        raise InputError(
            f"more than {MAX_BYTES:,} bytes", where=safe(path), hint="split the file"
        )  # fmt: skip
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # "Unicode text" in spreadsheets
        return data.decode("utf-16", errors="replace")
    data = data.removeprefix(b"\xef\xbb\xbf")
    return "".join(_line_text(line) for line in data.splitlines(keepends=True))


def _line_text(line: bytes) -> str:
    """Decode a line as UTF-8, or else in the encoding of older spreadsheets."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")
