"""Batches on a real cluster of two processes: the bytes of one process, gathered or in parts."""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from distributed import Client, LocalCluster

from lstm_cli.base.errors import InputError
from lstm_cli.commands.batch import cluster as clusters
from lstm_cli.commands.batch import tasks
from lstm_cli.commands.batch.cluster import Batch, Cluster, local_cluster
from lstm_cli.commands.batch.tasks import Folder
from lstm_cli.commands.batch.work import Work
from lstm_cli.samples import chunks, files
from lstm_cli.samples.files import Range, all_chunks, line_ranges, read_range
from lstm_cli.samples.settings import SampleSettings
from tests.commands.batch.test_batch_scale import as_parquet, jsonl, packed, rows
from tests.commands.test_schemas import validator
from tests.tools import ROOT, SAMPLES, assert_refused, call, shell


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with local_cluster(2) as running:
        yield running


@pytest.fixture
def dask(cluster: Any) -> list[str]:
    """Return the options that run a batch on the cluster."""
    return ["--dask", cluster.scheduler_address]


@pytest.fixture
def near() -> Iterator[Cluster]:
    """Give a cluster in this process, where `memory://` is the same for all."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as inside,
        Client(inside) as client,
    ):  # fmt: skip
        yield Cluster(client, "inproc://")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one chunk. The chunks are those of always: their sizes decide on last bits."""
    monkeypatch.setattr(clusters, "PART_CHUNKS", 1)


def joined(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(folder.glob("part-*")))


def fill(folder: Path) -> Path:
    """Write samples in every format, some of which fail."""
    folder.mkdir()
    documents = rows(100)
    documents[33] = {"x": "?"}
    documents[70] = {"x": [1, 2], "weights": "missing.npz"}
    documents[80] = {"x": [1, 2], "weights": "own.json"}
    (folder / "weights").mkdir()
    (folder / "own.json.txt").write_text("not a sample")
    jsonl(folder / "a.jsonl", documents)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress((folder / "a.jsonl").read_bytes()))
    (folder / "c.jsonl.zst").write_bytes(packed(Path("c.zst"), (folder / "a.jsonl").read_bytes()))
    (folder / "d.json").write_text(json.dumps(documents[:50]))
    (folder / "e.csv").write_text("x,label,h\n" + "0.5 1,cat,0.1 0.2\n?,dog,\n" * 30)
    np.savez(folder / "f.npz", x=np.linspace(-1, 1, 240).reshape(120, 2), label=np.arange(120))
    full = [{"id": f"p{n}", "x": [[0.5, n]], "h": [[0.5, 1.0]], "c": [[1.0, 2.0]], "atol": 0.5,
             "expected": {"f": [[0.5, 0.5]], "h": [0.5, 1.0]}} for n in range(9)]  # fmt: skip
    as_parquet(folder / "g.parquet", full)
    (folder / "h.jsonl").write_text("\n\n" + '{"x": [1]}\n\n{"x": [2]}')
    (folder / "i.json").write_text("{")
    return folder


WAYS = {
    "stdout": (["--check"], ""),
    "traced": (["--trace", "--dtype", "float32"], ""),
    "one file": (["--check", "--forget-bias", "1"], "out.jsonl"),
    "parts": (["--check", "--forget-bias", "1"], "out/"),
}


@pytest.mark.parametrize(("options", "out"), WAYS.values(), ids=WAYS)
@pytest.mark.few(1)
def test_a_cluster_gives_the_same_bytes(
    options: list[str], out: str, dask: list[str], tmp_path: Path, small: None
) -> None:
    """Every format, with failures: what one process gives, its words and exit code too."""
    folder = fill(tmp_path / "in")
    serial = call("batch", folder, *options)
    answer = call("batch", folder, *options, *dask, *(["-o", f"{tmp_path}/{out}"] if out else []))
    got = {"": lambda: answer.raw, "out.jsonl": (tmp_path / "out.jsonl").read_bytes,
           "out/": lambda: joined(tmp_path / "out")}[out]()  # fmt: skip
    assert answer.code == serial.code == 4
    assert got == serial.raw
    if not out:
        assert answer.err == serial.err
    for line in serial.err.splitlines():
        if line.startswith(("assumed: ", "handed on")):
            assert line in answer.err.splitlines()


def test_relative_paths_are_those_of_the_client(
    dask: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers in another folder read the same files, and errors name them as they were given."""
    weights = {f"W_{gate}": [[0.5, 0.25]] for gate in "figo"}
    (tmp_path / "in" / "w").mkdir(parents=True)
    (tmp_path / "in" / "w" / "own.json").write_text(json.dumps(weights))
    (tmp_path / "in" / "cell.toml").write_text('base = "lstm"\n[edit]\nf = "1 - i"\n')
    documents = [{"x": [1], "weights": "w/own.json"}, {"x": [1, 2, 3], "weights": "w/own.json"},
                 {"x": [1], "weights": "w/none.npz"}, {"x": [1], "cell": "cell.toml"}]  # fmt: skip
    jsonl(tmp_path / "in" / "s.jsonl", documents)
    monkeypatch.chdir(tmp_path)
    serial = call("batch", "in/s.jsonl")
    assert [each["ok"] for each in serial.lines] == [True, False, False, True]
    assert call("batch", "in/s.jsonl", *dask).raw == serial.raw
    assert call("batch", "in", *dask, "-o", "out/").code == 4
    assert joined(tmp_path / "out") == serial.raw


@pytest.mark.parametrize("out", ["", "out/"])
def test_check_says_no(out: str, dask: list[str], tmp_path: Path) -> None:
    """--check on a cluster counts, says what differs and leaves with 1, as in one process."""
    wrong = [{"id": f"s{n}", "x": [1], "expected": {"h": [9]}} for n in range(3)]
    path = jsonl(tmp_path / "s.jsonl", wrong)
    serial = call("batch", path, "--check")
    answer = call("batch", path, "--check", *dask, *(["-o", f"{tmp_path}/{out}"] if out else []))
    assert answer.code == serial.code == 1
    assert answer.err == serial.err
    assert call("batch", SAMPLES, "--check", *dask).code == 0


def test_stdin_goes_as_text(dask: list[str], tmp_path: Path) -> None:
    """What only this process can read is sent, and kept in parts as well."""
    text = '{"x": [1]}\n' * 1300
    serial = call("batch", "-", stdin=text)
    assert call("batch", "-", *dask, stdin=text).raw == serial.raw
    assert call("batch", "-", *dask, "-o", f"{tmp_path}/out/", stdin=text).code == 0
    assert joined(tmp_path / "out") == serial.raw


# ---- parts


def test_a_finished_folder_is_whole(dask: list[str], tmp_path: Path, small: None) -> None:
    """The manifest lists the parts in order with sizes, checksums and counts; `_SUCCESS` is last."""
    path = jsonl(tmp_path / "s.jsonl", rows(5000))
    assert call("batch", path, *dask, "-o", f"{tmp_path}/out/").code == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    validator("manifest").validate(manifest)
    names = [each["name"] for each in manifest["parts"]]
    assert [each.name for each in sorted((tmp_path / "out").iterdir())] == [
        "_SUCCESS", "manifest.json", *names
    ]  # fmt: skip
    assert len(names) == 3
    assert manifest["samples"] == sum(each["samples"] for each in manifest["parts"]) == 5000
    for each in manifest["parts"]:
        assert (tmp_path / "out" / each["name"]).stat().st_size == each["bytes"]


def reused(answer: Any) -> int:
    said = [line for line in answer.err.splitlines() if "before" in line]
    return int(said[0].split()[0].replace(",", "")) if said else 0


@pytest.mark.full
def test_a_rerun_does_what_is_missing(dask: list[str], tmp_path: Path, small: None) -> None:
    """Parts are matched by content: a changed line, a lost or damaged part cost their own part."""
    documents = rows(5000)
    path, out = jsonl(tmp_path / "s.jsonl", documents), tmp_path / "out"

    def again(*options: str) -> int:
        answer = call("batch", path, *dask, "-o", f"{out}/", *options)
        serial = call("batch", path, *options)
        assert (out / "_SUCCESS").exists()
        assert joined(out) == serial.raw
        return reused(answer)

    assert again() == 0
    assert again() == 5000
    documents[3000] |= {"h": [0.5, -0.5], "c": [1, 2]}
    jsonl(path, documents)
    assert again() == 5000 - files.CHUNK
    sorted(out.glob("part-*"))[0].unlink()
    last = sorted(out.glob("part-*"))[-1]
    last.write_bytes(last.read_bytes().replace(b"true", b"TRUE", 1))
    assert 0 < again() < 5000
    assert again("--forget-bias", "1") == 0
    documents += rows(10)
    jsonl(path, documents)
    assert 0 < again("--forget-bias", "1") < 5000
    (out / "manifest.json").write_text("[1")
    assert again("--forget-bias", "1") == 0


def test_parts_are_done_again_when_weights_change(
    dask: list[str], tmp_path: Path, small: None
) -> None:
    """A part is kept only while the weight files that its samples name are the same."""
    documents = [*rows(files.CHUNK), {"x": [1, 2], "weights": "w.json"}]
    path, out = jsonl(tmp_path / "s.jsonl", documents), tmp_path / "out"
    kept = []
    for value in (0.5, 0.5, 0.75):
        weights = {f"W_{gate}": [[value, 0.25, 1], [1, 0, value]] for gate in "figo"}
        (tmp_path / "w.json").write_text(json.dumps(weights))
        kept.append(reused(call("batch", path, *dask, "-o", f"{out}/")))
        assert joined(out) == call("batch", path).raw
    assert kept == [0, files.CHUNK + 1, files.CHUNK]


def test_failed_parts_are_tried_again(dask: list[str], tmp_path: Path) -> None:
    """--retry-failed does parts with failed samples once more; without it they stay."""
    path, out = jsonl(tmp_path / "s.jsonl", [{"x": [1], "weights": "late.json"}]), tmp_path / "out"
    assert call("batch", path, *dask, "-o", f"{out}/").code == 4
    weights = {f"W_{gate}": [[0.5, 0.25]] for gate in "figo"}
    (tmp_path / "late.json").write_text(json.dumps(weights))
    kept = call("batch", path, *dask, "-o", f"{out}/")
    assert (kept.code, reused(kept)) == (4, 1)
    assert call("batch", path, *dask, "-o", f"{out}/", "--retry-failed").code == 0
    assert joined(out) == call("batch", path).raw


def test_an_interrupted_run_is_not_finished(
    dask: list[str], tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves parts and no `_SUCCESS`, also of an earlier run, and says how to go on."""
    path, out = jsonl(tmp_path / "s.jsonl", rows(5000)), tmp_path / "out"
    call("batch", path, *dask, "-o", f"{out}/")
    honest = Folder.check_seen

    def interrupted(self: Folder, records: Sequence[Any]) -> None:
        honest(self, records)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "check_seen", interrupted)
        answer = call("batch", path, *dask, "-o", f"{out}/", "--forget-bias", "1")
    assert answer.code == 130
    assert "the same command goes on from there" in answer.err
    assert not (out / "_SUCCESS").exists()
    final = call("batch", path, *dask, "-o", f"{out}/", "--forget-bias", "1")
    assert reused(final) > 0
    assert joined(out) == call("batch", path, "--forget-bias", "1").raw


def test_parts_must_be_where_the_client_sees_them(dask: list[str], tmp_path: Path) -> None:
    """Workers that write where this process does not look are an error, not an empty folder."""
    path = jsonl(tmp_path / "s.jsonl", [{"x": [1]}])
    answer = call("batch", path, *dask, "-o", "memory://elsewhere/")
    assert_refused(answer, 5, "parts that are not there", "a shared one")
    fsspec.filesystem("memory").store.clear()


def test_a_part_that_cannot_be_written_is_an_error(dask: list[str], tmp_path: Path) -> None:
    """A folder that is a file is refused with the code of outputs."""
    path = jsonl(tmp_path / "s.jsonl", [{"x": [1]}])
    assert_refused(call("batch", path, *dask, "-o", f"{path}/"), 5, "cannot write")


def test_a_name_that_leads_elsewhere_is_not_kept(tmp_path: Path) -> None:
    """A forged manifest can neither name a file outside the folder nor have one moved."""
    record = {"key": "k", "name": "../../etc/passwd", "bytes": 1, "crc32": 1, "samples": 1,
              "failed": 0, "matched": 0, "mismatched": 0}  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"parts": [record]}))
    assert Folder(str(tmp_path)).finished() == {}
    record["name"] = tasks.part_name(0, "0" * 32)
    (tmp_path / "manifest.json").write_text(json.dumps({"parts": [record]}))
    assert list(Folder(str(tmp_path)).finished()) == ["k"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"bytes": Infinity}', '{"bytes": 1', "[]", "\xff", '{"parts": 3}', ""]
)
def test_a_damaged_record_is_no_part(text: str, tmp_path: Path) -> None:
    """Torn, forged and endless records are passed over; parts beside them are found."""
    record = {"key": "k", "name": tasks.part_name(0, "0" * 32), "bytes": 1, "crc32": 1,
              "samples": 1, "failed": 0, "matched": 0, "mismatched": 0}  # fmt: skip
    (tmp_path / "_parts").mkdir()
    (tmp_path / "_parts" / "k.json").write_text(json.dumps(record))
    for name in ("_parts/torn.json", "manifest.json"):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    assert list(Folder(str(tmp_path)).finished()) == ["k"]


def test_a_part_keeps_its_form() -> None:
    """The records of parts that unfinished runs have left are read, and written alike."""
    text = (
        '{"key": "5c", "name": "part-000000-00112233445566aa.jsonl", "bytes": 90, "crc32": 12, '
        '"samples": 3, "failed": 1, "matched": 1, "mismatched": 0, "files": {"w.npz": "ab"}, '
        '"assumed": {"h0": 2}, "handed_on": {}, "warned": {}}'
    )
    assert json.dumps(tasks.FinishedPart.read(json.loads(text)).as_dict()) == text


# ---- what is sent


def test_a_chunk_says_the_same_after_it_was_sent(tmp_path: Path) -> None:
    """Chunks of every kind give the same answers when they are packed as texts and unpacked."""
    work, kinds = Work(SampleSettings(), notes=True), set()
    for chunk in all_chunks(files.find_files([str(fill(tmp_path / "in"))])):
        message = tasks.pack(chunk)
        kinds.add(message["kind"])
        plain = (str, int, bytes, type(None))
        assert all(isinstance(each, (*plain, list, dict)) for each in message.values())
        assert work(tasks.unpack(message)) == work(chunk)
    assert kinds == {"Lines", "Objects", "Rows", "Columns"}


TEXTS = {
    "plain": b'{"x": [1]}\n{"x": [2]}\n{"x": [3]}\n',
    "no end": b'{"x": [1]}\n{"x": [2]}\n{"x": [3]}',
    "blank lines": b'\n\n{"x": [1]}\n\n \n{"x": [2]}\n\n\n\n\n{"x": [3]}\n\n',
    "CRLF": b'{"x": [1]}\r\n{"x": [2]}\r\n',
    "a mark": b'\xef\xbb\xbf{"x": [1]}\n{"x": [2]}\n{"x": [3]}\n',
    "not UTF-8": b'{"x": [1]}\n\xff\n\n{"x": [3]}\n',
    "nothing": b"",
    "blank": b"\n\n\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_ranges_are_the_chunks(
    text: bytes, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a file by ranges gives the chunks of reading it whole, with their numbers."""
    monkeypatch.setattr(files, "CHUNK", size)
    path = tmp_path / "s.jsonl"
    path.write_bytes(text)
    whole: list[Any] = list(all_chunks([str(path)]))
    origin = whole[0].origin if whole else chunks.Origin(str(path), "s", tmp_path)
    found = line_ranges(path, origin)
    assert found is not None
    read: list[Any] = [read_range(path, origin, each) for each in found]
    assert [(list(c.numbers), c.raw) for c in read] == [(list(c.numbers), c.raw) for c in whole]


def test_documents_and_long_lines_are_no_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An array in a file of lines and a line without end are left to whoever reads files whole."""
    path, origin = tmp_path / "s.jsonl", chunks.Origin("s.jsonl", "s", tmp_path)
    path.write_text('[{"x": [1]}, {"x": [2]}]')
    assert line_ranges(path, origin) is None
    assert line_ranges(tmp_path / "s.csv", origin) is None
    monkeypatch.setattr(chunks, "MAX_LINE_BYTES", 30)
    path.write_text('{"x": [1]}\n' + "0" * 100)
    found = line_ranges(path, origin)
    assert found is not None
    with pytest.raises(InputError, match="too long"):
        list(found)


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    """Lines that are not those that were counted are an error, and no answer."""
    path = jsonl(tmp_path / "s.jsonl", [{"x": [1]}, {"x": [2]}])
    origin = chunks.Origin(str(path), "s", tmp_path)
    (where,) = line_ranges(path, origin) or ()
    path.write_text(path.read_text().replace("2", "3"))
    with pytest.raises(InputError, match="changed while"):
        read_range(path, origin, where)
    with pytest.raises(InputError, match="changed while"):
        read_range(path, origin, Range(10_000, 10_010, 1, where.key))
    with pytest.raises(InputError, match="changed while"):
        list(tasks.unit_chunks({"file": str(path), "digest": "0"}, SampleSettings()))


# ---- elsewhere


def put(url: str, text: str) -> str:
    with fsspec.open(url, "w") as stream:
        stream.write(text)
    return url


@pytest.fixture
def bucket() -> Iterator[str]:
    """Samples and weights in `memory://`, in folders beside each other."""
    weights = {f"W_{gate}": [[0.5, 0.25]] for gate in "figo"}
    put("memory://bucket/weights/own.json", json.dumps(weights))
    put("memory://bucket/in/cell.toml", 'base = "lstm"\n[edit]\nf = "1 - i"\n')
    documents = [
        {"id": f"s{n}", "x": [n / 100], "weights": "../weights/own.json"} for n in range(99)
    ]
    documents += [{"id": "own cell", "x": [1], "cell": "cell.toml"},
                  {"id": "missing", "x": [1], "weights": "none.npz"},
                  {"id": "shape", "x": [1, 2, 3], "weights": "../weights/own.json"}]  # fmt: skip
    put("memory://bucket/in/a.jsonl", "".join(json.dumps(each) + "\n" for each in documents))
    put("memory://bucket/in/b.csv", "x\n1\n2\n")
    with fsspec.open("memory://bucket/in/c.npz", "wb") as stream:
        np.savez(stream, x=np.ones((3, 2)))
    yield "memory://bucket/in"
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("how", ["folder", "glob", "file"])
def test_samples_are_read_from_a_url(how: str, bucket: str, tmp_path: Path) -> None:
    """A file, a folder, a glob elsewhere: as a copy of it here, weights beside the samples too."""
    memory = fsspec.filesystem("memory")
    memory.get("/bucket", str(tmp_path / "bucket"), recursive=True)
    end = {"folder": "", "glob": "/*.jsonl", "file": "/a.jsonl"}[how]
    here = call("batch", f"{tmp_path}/bucket/in{end}")
    there = call("batch", bucket + end)
    assert there.code == here.code == 4
    local = str(tmp_path / "bucket" / "in")
    assert len(there.lines) == (107 if how == "folder" else 102)
    for one, other in zip(there.lines, here.lines, strict=True):
        if one["ok"]:
            assert one == other
        else:
            assert one["error"]["where"].startswith("memory://bucket/in/a.jsonl, line 10")
            assert "/tmp/" not in json.dumps(one).replace(local, "")


@pytest.mark.parametrize(
    "name",
    ["memory://bucket/weights/own.json", "file:///etc/passwd", "/weights/own.json", "http://x/y"],
)
def test_a_sample_elsewhere_names_no_url(name: str, bucket: str) -> None:
    """Weights of a sample elsewhere are relative to its file: it cannot send us anywhere else."""
    put(f"{bucket}/a.jsonl", json.dumps({"x": [1], "weights": name}) + "\n")
    (record,) = call("batch", f"{bucket}/a.jsonl").lines
    assert "is not relative to the sample's file" in record["error"]["message"]


def test_weights_of_a_batch_are_read_from_a_url(bucket: str, tmp_path: Path) -> None:
    """--weights takes a URL, also for samples that name another cell."""
    path = jsonl(tmp_path / "s.jsonl", [{"x": [1]}, {"x": [1], "cell": "coupled-forget"}])
    local = tmp_path / "own.json"
    local.write_bytes(fsspec.filesystem("memory").cat("/bucket/weights/own.json"))
    there = call("batch", path, "--weights", "memory://bucket/weights/own.json")
    here = call("batch", path, "--weights", local)
    assert (there.code, there.raw) == (here.code, here.raw.replace(
        str(local).encode(), b"memory://bucket/weights/own.json"))  # fmt: skip
    assert call("batch", path, "--weights", "memory://bucket/none.json").code == 3


def test_parts_are_written_to_a_url(bucket: str, near: Cluster) -> None:
    """Inputs and parts elsewhere: the answers of one process, resumed and finished as here."""
    serial = call("batch", bucket)
    work = Work(SampleSettings(check=False))
    names = files.find_files([bucket])

    def run() -> Batch:
        batch = Batch(near, work, Folder("memory://bucket/out/"))
        batch.run(names, lambda tally, notes: None)
        return batch

    assert run().reused == 0
    memory = fsspec.filesystem("memory")
    found = sorted(memory.glob("/bucket/out/part-*"))
    assert b"".join(map(memory.cat, found)) == serial.raw
    assert memory.exists("/bucket/out/_SUCCESS")
    assert not memory.glob("/bucket/out/_parts/*")
    assert run().reused == len(serial.lines)
    memory.rm(found[0])
    assert run().reused < len(serial.lines)
    assert b"".join(map(memory.cat, found)) == serial.raw


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://bucket/in/none.jsonl", "no such file"),
        ("memory://bucket/none/*.jsonl", "no sample files here"),
        ("nosuch://x/y.jsonl", "cannot read"),
        ("s3://b/y.jsonl", "s3fs"),
    ],
)
def test_a_url_that_cannot_be_read_says_why(
    url: str, words: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file, an unknown scheme, a missing backend: an error, and no traceback."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    answer = call("batch", url)
    said = answer.err + answer.out
    assert answer.code in (3, 4)
    assert words in said
    assert "this is a bug" not in said


# ---- what can be wrong


def test_an_address_that_nobody_answers_at() -> None:
    """A wrong port is an error after Dask's own timeout, with the address and what to look at."""
    env = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    done = shell("batch", SAMPLES, "--dask", "tcp://127.0.0.1:1", env=env)
    assert done.returncode == 3
    assert done.stderr.startswith(b"error: no scheduler answers: ")
    assert b"tcp://127.0.0.1:1" in done.stderr
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize("address", ["nonsense", "foo://x:1", "tcp://127.0.0.1"])
def test_what_is_no_address(address: str) -> None:
    """Text that is no address of a scheduler is a usage error."""
    assert_refused(call("batch", SAMPLES, "--dask", address), 2, "not the address of a scheduler")


def test_options_that_contradict(tmp_path: Path) -> None:
    """Parts need a cluster and are JSONL; a cluster elsewhere counts its own processes."""
    assert_refused(call("batch", SAMPLES, "-o", f"{tmp_path}/out/"), 2, "--dask local")
    assert_refused(call("batch", SAMPLES, "-o", "memory://out"), 2, "--dask local")
    both = ["--dask", "tcp://127.0.0.1:1"]
    assert_refused(call("batch", SAMPLES, *both, "--jobs", "2"), 2, "--jobs counts processes")
    assert_refused(call("batch", SAMPLES, *both, "-o", "out/", "-f", "table"), 2, "parts are JSONL")


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that has no worker is an error after the same timeout."""
    with local_cluster(0) as empty:
        monkeypatch.setattr(clusters, "_timeout", lambda: 0.5)
        answer = call("batch", SAMPLES, "--dask", empty.scheduler_address)
    assert_refused(answer, 3, "has had no worker", "dask worker tcp://")


def test_another_version_on_the_workers(dask: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers with another lstm-cli, or none, are refused before anything is sent."""
    monkeypatch.setattr(clusters, "__version__", "9.9.9")
    answer = call("batch", SAMPLES, *dask)
    assert_refused(answer, 3, "2 of 2 workers have another version", "this is 9.9.9", "==9.9.9'")
    monkeypatch.setattr(clusters, "VERSION", "no_such_module:__version__")
    assert_refused(call("batch", SAMPLES, *dask), 3, "no lstm-cli")


def test_a_worker_that_comes_later_is_checked_too(
    dask: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task says which version it is of: a worker of another one refuses it."""
    monkeypatch.setattr(clusters, "_check_workers", lambda *given: None)
    monkeypatch.setattr(clusters, "__version__", "9.9.9")
    answer = call("batch", SAMPLES, *dask)
    assert_refused(answer, 3, "a worker has lstm-cli", "this is 9.9.9", "worker on ")


def test_a_task_that_fails_is_an_error(dask: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker raises that is no error of ours is said, with its type, and is no traceback."""
    monkeypatch.setattr(tasks, "pack", lambda chunk: {"kind": "?"})
    assert_refused(call("batch", SAMPLES, *dask), 3, "a worker failed: KeyError", "'origin'")


@pytest.mark.parametrize("module", ["distributed", "upath"])
def test_a_missing_extra_is_named(
    module: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the packages, --dask and URLs have the line that installs them."""
    monkeypatch.setitem(sys.modules, module, None)
    what = [SAMPLES, "--dask", "local"] if module == "distributed" else [bucket]
    assert_refused(call("batch", *what), 2 if module == "distributed" else 3,
                   "pip install 'lstm-cli[dask]'")  # fmt: skip


@pytest.mark.full
def test_local_is_a_cluster_of_its_own(tmp_path: Path) -> None:
    """`--dask local` starts processes, gives the same bytes, says nothing of its own and ends."""
    path = jsonl(tmp_path / "s.jsonl", rows(300))
    done = shell("batch", path, "--dask", "local", "--jobs", "2", timeout=120)
    alone = call("batch", path)
    assert (done.returncode, done.stderr.decode()) == (0, alone.err)
    assert done.stdout == alone.raw


def test_without_the_option_nothing_of_it_is_imported(tmp_path: Path) -> None:
    """A batch of this process loads neither Dask nor fsspec."""
    path = jsonl(tmp_path / "s.jsonl", rows(3))
    script = "import sys; from lstm_cli.commands._main import _guarded; _guarded(sys.argv[1:]); " \
             "print([m for m in sys.modules if m.split('.')[0] in " \
             "('dask', 'distributed', 'fsspec', 'upath', 'tornado')], file=sys.stderr)"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, "batch", str(path), "-q"],
        capture_output=True, check=True, cwd=ROOT, env={**os.environ},
    )  # fmt: skip
    assert done.stderr == b"[]\n"
