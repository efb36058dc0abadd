"""The table of formats: its rows are true of the files that read and write them."""

from __future__ import annotations

import json
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.commands.convert import command
from lstm_cli.formats.registry import (
    FORMATS,
    READ,
    UNREAD,
    WRITTEN,
    Format,
    format_named,
    format_of,
)

FILES = Path(__file__).parents[1] / "files"
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("row", [*READ, *(row for row in WRITTEN if not row.reads)])
def test_a_format_is_one_file_that_does_what_its_row_says(row: Format) -> None:
    """The file of its name reads where the row says so, and writes where the row says so."""
    module = import_module(f"lstm_cli.formats.{row.module or row.name}")
    assert hasattr(module, "read") == row.reads
    assert hasattr(module, "write") == bool(row.writes)
    assert set(row.writes) <= set(row.suffixes)


def test_a_name_and_a_suffix_stand_for_one_format() -> None:
    """No two rows have a name in common, or claim the same suffix."""
    assert len({row.name for row in FORMATS}) == len(FORMATS)
    suffixes = [suffix for row in FORMATS for suffix in row.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_what_is_neither_read_nor_written_says_what_to_do() -> None:
    """Each row is read, or written, or has a way out, and only then one."""
    for row in FORMATS:
        assert bool(row.instead) == (not row.reads and not row.writes)
        assert (row in UNREAD) == bool(row.instead)


def test_files_begin_as_their_rows_say() -> None:
    """Every file that a framework wrote and that is read has a signature of its row, if it has."""
    seen = set[str]()
    for record in (json.loads(path.read_text()) for path in FILES.glob("*.json")):
        if record.get("expected"):
            row = format_of(path := FILES / record["file"])
            assert not row.signatures or row.begins(path.read_bytes()[:128]), path
            seen.add(row.name)
    assert {"npz", "safetensors", "pytorch", "keras", "tflite", "matlab"} <= seen


@pytest.mark.parametrize("suffix", [suffix for row in READ for suffix in row.suffixes])
@pytest.mark.parametrize("name", ["git-lfs", "html", "gguf"])
def test_a_file_of_another_kind_gets_the_way_out(name: str, suffix: str, tmp_path: Path) -> None:
    """A pointer, a web page or GGUF under the suffix of a format that is read is told as such."""
    starts = {"git-lfs": b"version https://git-lfs", "html": b"<!DOCTYPE html>", "gguf": b"GGUF"}
    path = tmp_path / f"model{suffix}"
    path.write_bytes(starts[name] + b"\n.org, and more" * 9)
    row = format_of(path)
    if row.missing:
        pytest.skip(row.missing)
    with pytest.raises(InputError) as caught:
        row.read(path)
    expected = format_named(name).refusal(path)
    assert (caught.value.what, caught.value.hint) == (expected.what, expected.hint)


@pytest.mark.parametrize("row", [row for row in FORMATS if row.needs])
def test_the_extra_brings_what_a_format_needs(row: Format) -> None:
    """The extra that an error names is in pyproject.toml and has the package."""
    needed = PROJECT["optional-dependencies"][row.extra]
    assert any(each.startswith(row.needs) for each in needed)


def test_the_help_of_convert_names_what_is_written() -> None:
    """Its list of suffixes is the table's."""
    text = (Path(command.__file__)).read_text()
    line = next(each for each in text.splitlines() if each.startswith("Formats by suffix: "))
    named = [word.rstrip(",.") for word in line.split() if word.startswith(".")]
    assert named == [suffix for row in WRITTEN for suffix in row.writes]
