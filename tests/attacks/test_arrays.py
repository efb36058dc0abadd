"""Hostile npy and npz files."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_cli.base.errors import LstmStepError
from lstm_cli.files.safe import read_npy, read_npz
from tests.tools import Answer, assert_refused, call

GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"


def npy(header: str | bytes, body: bytes = b"\0" * 16, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an npy file with any header."""
    text = header.encode() if isinstance(header, str) else header
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + body


def saved(array: object, **how: bool) -> bytes:
    """Return what numpy.save writes."""
    stream = io.BytesIO()
    np.save(stream, np.asarray(array), **how)
    return stream.getvalue()


def npz(*members: tuple[str, bytes], deflate: bool = False) -> bytes:
    """Return a zip of members."""
    stream = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


class Evil:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch PWNED",)


HEADERS = {
    "object array": (npy(GOOD.replace("<f8", "|O")), "an object array (a pickle)"),
    "numpy.save of objects": (saved(np.array([{}], object), allow_pickle=True), "pickle"),
    "evil pickle": (saved(np.array([Evil()], object), allow_pickle=True), "pickle"),
    "structured": (npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}"), "type"),
    "complex": (saved(np.array([1j])), "of type complex128"),
    "dates": (npy(GOOD.replace("<f8", "<M8[s]")), "of type datetime64"),
    "booleans": (saved(np.array([True])), "of type bool"),
    "shape lie": (npy(GOOD.replace("(2,)", "(65536, 65536)")), "declares 34,359,738,368 bytes"),
    "shape overflows 64 bits": (npy(GOOD.replace("(2,)", "(2**40, 2**40)")), "not an npy"),
    "huge axes": (npy(GOOD.replace("2,", "9" * 30 + ",")), "declares"),
    "negative axis": (npy(GOOD.replace("2,", "-2,")), "not an npy"),
    "axis is a boolean": (npy(GOOD.replace("2,", "True,")), "not an npy"),
    "seventy axes": (npy(GOOD.replace("(2,)", "(" + "1," * 70 + ")")), "not an npy"),
    "zero size items": (npy(GOOD.replace("<f8", "<U0")), "empty"),
    "text": (saved(np.array(["a"])), "not numbers"),
    "empty": (saved(np.array([])), "needs (n,)"),
    "header is a set": (npy("{1, 2}"), "not an npy"),
    "unhashable key": (npy("{[]: 1}"), "not an npy"),
    "brackets without end": (npy("(" * 9000), "not an npy"),
    "signs without end": (npy("-" * 9000 + "1"), "not an npy"),
    "quotes without end": (npy("'''"), "not an npy"),
    "wrong indents": (npy("\n  x\n y"), "not an npy"),
    "a call": (npy("__import__('os').system('touch PWNED')"), "not an npy"),
    "long header": (npy("{" + " " * 60_000 + "}"), "not an npy"),
    "4 GiB header": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "not an npy"),
    "50 MB header": (npy(b"(" * 50_000_000, version=(2, 0)), "not an npy"),
    "version 9": (npy(GOOD, version=(9, 0)), "not an npy"),
    "cut": (saved(np.arange(9.0))[:-1], "declares 72 bytes (9,), but the file has 71"),
    "only magic": (b"\x93NUMPY", "not an npy"),
    "nothing": (b"", "not an npy"),
    "a pickle": (b"cos\nsystem\n(S'touch PWNED'\ntR.", "not an npy"),
}


@pytest.mark.parametrize(("data", "words"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("kind", ["npy", "npz", "weights"])
def test_hostile_array_is_refused(
    kind: str, data: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An array that is not plain numbers, or not there, is refused wherever one is read."""
    monkeypatch.chdir(tmp_path)
    if kind == "npy":
        Path("x.npy").write_bytes(data)
        answer = call("--x", "@x.npy")
    else:
        Path("x.npz").write_bytes(npz(("W_f.npy", data), deflate=True))
        answer = call("--x", "@x.npz") if kind == "npz" else call("--x", "1", "--weights", "x.npz")
    if kind == "weights" and words in ("empty", "not numbers", "needs (n,)"):
        words = "W_f"
    elif kind == "npz" and "the file has 71" not in words:
        assert "key W_f" in answer.err or words in ("empty", "not numbers", "needs (n,)")
    assert_refused(answer, 3, words if words != "empty" else "")
    assert not Path("PWNED").exists()


def bomb() -> bytes:
    """4 GiB of zeros in 4 MB, by way of a directory that says so."""
    chunk = b"\0" * 2**20
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("a.npy", "b.npy"):
            with archive.open(name, "w") as member:
                for _ in range(64):
                    member.write(chunk)
    data = bytearray(stream.getvalue())
    start = -1
    while (start := data.find(b"PK\x01\x02", start + 1)) >= 0:
        data[start + 24 : start + 28] = struct.pack("<I", 2**31 - 1)  # the size unpacked
    return bytes(data)


def overlapping() -> bytes:
    """Two entries of the directory that share one member's bytes (CVE-2024-0450)."""
    data = npz(("a.npy", saved([1.0])), ("b.npy", saved([2.0])))
    second = data.rfind(b"PK\x01\x02")
    return data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]


def with_bytes(data: bytes, mark: bytes, skip: int, new: bytes) -> bytes:
    """Return data with `new` written `skip` after the last `mark`."""
    at = data.rfind(mark) + skip
    return data[:at] + new + data[at + len(new) :]


ONE = npz(("x.npy", saved([1.0, 2.0])))
ARCHIVES = {
    "bomb": (bomb, "the limit is 2,147,483,648"),
    "overlap": (overlapping, "not a readable npz"),
    "cut": (lambda: ONE[:-30], "not a readable npz"),
    "cut in front": (lambda: ONE[40:], "not a readable npz"),
    "not a zip": (lambda: b"PK\x03\x04" + b"\0" * 100, "not a readable npz"),
    "text": (lambda: b"1 2 3", "not a readable npz"),
    "nothing": (lambda: b"", "not a readable npz"),
    "wrong CRC": (lambda: with_bytes(ONE, b"PK\x01\x02", 16, b"abcd"), "not a readable npz"),
    "encrypted": (lambda: with_bytes(ONE, b"PK\x01\x02", 8, b"\1"), "not a readable npz"),
    "unknown packing": (lambda: with_bytes(ONE, b"PK\x01\x02", 10, b"\x63"), "not a readable npz"),
    "size lies": (lambda: with_bytes(ONE, b"PK\x01\x02", 24, b"\xff\xff"), ""),
    "damaged deflate": (
        lambda: with_bytes(npz(("x.npy", saved(range(99))), deflate=True), b"x.npy" + b"\xed", 5,
                           b"\xff" * 9),
        "",
    ),
    "text member": (lambda: npz(("x.npy", saved(["a"]))), "not numbers"),
    "no array inside": (lambda: npz(("x.txt", b"1 2")), "not an npy array"),
    "empty archive": (lambda: npz(), "several keys"),
    "bad code points": (
        lambda: npz(("x.npy", npy(GOOD.replace("<f8", "<U1"), b"\xff" * 8))), "truncated or damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "words"), ARCHIVES.values(), ids=ARCHIVES)
def test_hostile_archive_is_refused(build: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    """A damaged, lying or swollen archive is refused before it is unpacked."""
    path = tmp_path / "x.npz"
    path.write_bytes(build())
    answer = call("--x", f"@{path}")
    if answer.code == 0:
        assert words == ""
    else:
        assert_refused(answer, 3, words)


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    """NumPy takes the last of two members of one name; we take none."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = npz(("W_f.npy", saved([[1.0, 1]])), ("W_f.npy", saved([[2.0, 2]])))
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    assert_refused(call("--x", "1", "--weights", path), 3, "key 'W_f' occurs twice")
    both = npz(("x.npy", saved([1.0])), ("x", saved([2.0])))
    path.write_bytes(both)
    assert_refused(call("--x", f"@{path}"), 3, "key 'x' occurs twice")


def test_weights_that_are_text_or_not_finite_are_refused(tmp_path: Path) -> None:
    """Weights are finite numbers; the message names the key."""
    path = tmp_path / "w.npz"
    np.savez(path, W_f=np.array([["a"]]))
    assert_refused(call("--x", "1", "--weights", path), 3, "'W_f' is text")
    arrays = {f"W_{k}": np.ones((1, 2)) for k in "figo"}
    arrays["W_g"] = np.array([[1.0, np.inf]])
    np.savez(path, **arrays)  # type: ignore[arg-type] # keys are names of arrays
    assert_refused(call("--x", "1", "--weights", path), 3, "W_g[0, 1] is inf")


def test_python_2_headers_and_extra_bytes_are_read_quietly(tmp_path: Path) -> None:
    """`3L` of Python 2 and bytes behind the array are harmless: read, without a warning."""
    path = tmp_path / "x.npy"
    path.write_bytes(npy(GOOD.replace("2,", "2L,"), struct.pack("<2d", 1, 2) + b"more"))
    answer = call("--x", f"@{path}", "--json")
    assert answer.json["steps"][0]["x"] == [1, 2]
    assert answer.err == ""


LIMITED = """
import resource, sys
from lstm_cli.commands._main import _guarded
import lstm_cli.files.vectors, lstm_cli.engine.run, lstm_cli.formats.read, lstm_cli.cell.presets, typer, rich.console
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20,) * 2)
sys.exit(_guarded(sys.argv[1:]))
"""


def limited(*arguments: object) -> Answer:
    """Run with at most 200 MB more than the imports take."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, arguments)], capture_output=True, timeout=60
    )
    return Answer(done.returncode, done.stdout, done.stderr.decode())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.full
def test_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """A lying header, a bomb, a huge header and huge sizes are refused inside 200 MB."""
    lie, swollen, long = (tmp_path / name for name in ("lie.npy", "bomb.npz", "long.npy"))
    lie.write_bytes(npy(GOOD.replace("(2,)", "(2000, 1000, 1000)")))
    swollen.write_bytes(bomb())
    long.write_bytes(npy(b"(" * 50_000_000, version=(2, 0)))
    assert_refused(limited("--x", f"@{lie}"), 3, "declares 16,000,000,000 bytes")
    assert_refused(limited("--x", f"@{swollen}"), 3, "the limit is")
    assert_refused(limited("--x", f"@{long}"), 3, "not an npy array")
    assert_refused(limited("--x", "1", "--steps", 10**9, "-f", "latex"), 3, "limit is 8 GiB")
    assert_refused(limited("--x", "1", "--hidden-size", 10**6), 3, "would take")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    """Whichever bytes are damaged, only an error that a user can act on comes out."""
    deflated = npz(("x.npy", saved([1.0, 2.0])), ("y.npy", saved(["text"])), deflate=True)
    whole = data.draw(st.sampled_from([ONE, deflated, saved([1.0, 2.0])]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(len(whole) // 2, len(whole)))]))
    for read in (read_npy, read_npz):
        try:
            read(path)
        except LstmStepError as error:
            assert error.hint
