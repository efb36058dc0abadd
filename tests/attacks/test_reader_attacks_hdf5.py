"""Hostile HDF5 and Keras files."""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.formats import hdf5
from lstm_cli.formats.hdf5 import Texts
from lstm_cli.formats.keras import read

h5py = pytest.importorskip("h5py")

FILES = Path(__file__).parents[1] / "files"
WEIGHTS = (FILES / "keras3_sequential.weights.h5").read_bytes()
SECRET = np.arange(6.0).reshape(2, 3)


def refusal(path: Path, *words: str) -> InputError:
    """Return the error that reading gives; it has its three parts and the words."""
    with pytest.raises(InputError) as caught:
        read(path)
    error = caught.value
    assert error.where
    assert error.hint
    for word in words:
        assert word in str(error)
    return error


def written(path: Path, make: Callable[[Any], None], **how: Any) -> Path:
    with h5py.File(path, "w", **how) as file:
        make(file)
    return path


def other_file(folder: Path) -> Path:
    def make(file: Any) -> None:
        file["secret"] = SECRET

    return written(folder / "other.h5", make)


def external_link(file: Any) -> None:
    file["layers/lstm"] = h5py.ExternalLink("other.h5", "/secret")


def external_link_to_a_group(file: Any) -> None:
    file["layers"] = h5py.ExternalLink("other.h5", "/")


def soft_link(file: Any) -> None:
    file["there"] = SECRET
    file["here"] = h5py.SoftLink("/there")


def external_storage(file: Any) -> None:
    file.create_dataset("w", (2, 3), "f8", external=[("other.h5", 0, 48)])


def virtual_dataset(file: Any) -> None:
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (2, 3))
    file.create_virtual_dataset("w", layout)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (external_link, "'lstm' is a link into another file"),
        (external_link_to_a_group, "'layers' is a link into another file"),
        (soft_link, "'here' is a soft link"),
        (external_storage, "this external dataset lie in another file"),
        (virtual_dataset, "this virtual dataset lie in another file"),
    ],
)
def test_other_files_are_never_read(
    tmp_path: Path, make: Callable[[Any], None], words: str
) -> None:
    """What points out of the file is refused when it is opened, wherever it stands."""
    other_file(tmp_path)
    refusal(written(tmp_path / "evil.h5", make), words, "save the weights again")


def test_a_link_that_appears_after_the_file_was_listed_is_refused_too(tmp_path: Path) -> None:
    """The way to a dataset is checked again when its numbers are asked for."""

    def honest(file: Any) -> None:
        file["w"] = SECRET

    other_file(tmp_path)
    path = written(tmp_path / "evil.h5", honest)
    tensors = read(path).tensors
    path.unlink()
    written(path, lambda file: file.__setitem__("w", h5py.ExternalLink("other.h5", "/secret")))
    with pytest.raises(InputError, match="a link into another file"):
        tensors["w"]
    path.unlink()
    written(path, lambda file: file.__setitem__("w", np.ones(9)))
    with pytest.raises(InputError, match="the file has changed"):
        tensors["w"]


def fill_bomb(file: Any) -> None:
    """20,000 × 20,000 doubles of which none is stored."""
    file.create_dataset("w", (20_000, 20_000), "f8", chunks=(1000, 1000), fillvalue=1.0)


def chunk_bomb(file: Any) -> None:
    """Four numbers in a chunk of 3.2 GB, deflated."""
    file.create_dataset(
        "w", (2, 2), "f8", maxshape=(None, None), chunks=(20_000, 20_000), fillvalue=1.0
    )


def deflate_bomb(file: Any) -> None:
    """64 MiB of zeros in 64 kiB."""
    file.create_dataset("w", data=np.zeros(2**23), chunks=(2**20,), compression="gzip",
                        compression_opts=9)  # fmt: skip


def hidden_deflate_bomb(file: Any) -> None:
    """A chunk of 2 MiB that is said to hold one number, and inflates to 2 GiB."""
    data = file.create_dataset("w", (2**18,), "f8", chunks=(2**18,), compression="gzip")
    data.id.write_direct_chunk((0,), os.urandom(hdf5.MAX_DEFLATED_BYTES + 1))


def deflated_twice(file: Any) -> None:
    """Two filters one after the other multiply."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((8,))
    properties.set_deflate(9)
    properties.set_deflate(9)
    space = h5py.h5s.create_simple((8,))
    made = h5py.h5d.create(file.id, b"w", h5py.h5t.IEEE_F64LE, space, properties)
    h5py.Dataset(made)[...] = np.arange(8.0)


def plugin_filter(file: Any) -> None:
    """A filter that HDF5 would look for among shared libraries."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((8,))
    properties.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (1,))
    space = h5py.h5s.create_simple((8,))
    made = h5py.h5d.create(file.id, b"w", h5py.h5t.IEEE_F64LE, space, properties)
    h5py.Dataset(made)[...] = np.arange(8.0)


def texts(file: Any) -> None:
    file["w"] = ["a", "b"]


def ragged(file: Any) -> None:
    data = file.create_dataset("w", (2,), h5py.vlen_dtype(np.dtype("f8")))
    data[0] = [1.0, 2.0]


def references(file: Any) -> None:
    data = file.create_dataset("w", (1,), h5py.ref_dtype)
    data[0] = file.ref


def compound(file: Any) -> None:
    file["w"] = np.zeros(2, [("a", "f8"), ("b", "i4")])


def nothing(file: Any) -> None:
    file["w"] = h5py.Empty("f8")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (fill_bomb, "declares 3,200,000,000 bytes (20000, 20000), 0 are stored"),
        (chunk_bomb, "declares 3,200,000,000 bytes (2, 2)"),
        (deflate_bomb, "1000 for each stored byte"),
        (hidden_deflate_bomb, "is packed by gzip into"),
        (deflated_twice, "is packed by gzip, gzip"),
        (plugin_filter, "is packed by filter 32001"),
        (texts, "type object"),
        (ragged, "type object"),
        (references, "type object"),
        (compound, "only plain numbers are read"),
        (nothing, "only plain numbers are read"),
    ],
)
def test_a_dataset_is_checked_before_memory_is_taken(
    tmp_path: Path, make: Callable[[Any], None], words: str
) -> None:
    """It is listed, and refused when asked for, in no memory, whatever it declares."""
    path = written(tmp_path / "evil.h5", make)
    tensors = read(path).tensors
    assert list(tensors) == ["w"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        tensors["w"]
    assert words in caught.value.what
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_honest_compression_is_read(tmp_path: Path) -> None:
    """Gzip with shuffle and a checksum, as h5py's users pack weights."""

    def make(file: Any) -> None:
        file.create_dataset("w", data=SECRET, compression="gzip", shuffle=True, fletcher32=True)

    path = written(tmp_path / "w.h5", make)
    assert np.array_equal(read(path).tensors["w"], SECRET)


def contains_itself(file: Any) -> None:
    group = file.create_group("a/b")
    group["again"] = file["a"]


def holds_the_root(file: Any) -> None:
    file["root"] = file["/"]


def deep(file: Any) -> None:
    file.create_group("/".join("a" * 100))


def doubling(file: Any) -> None:
    """40 groups, each there twice in the next: a million million paths."""
    group = file.create_group("0")
    for number in range(1, 41):
        above = file.create_group(str(number))
        above["left"] = above["right"] = group
        group = above


def many(file: Any) -> None:
    for number in range(300):
        file.create_group(str(number))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (contains_itself, "group 'again' contains itself"),
        (holds_the_root, "group 'root' contains itself"),
        (deep, "nested deeper than 64"),
        (doubling, "more than 200 objects"),
        (many, "more than 200 objects"),
    ],
)
def test_a_walk_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Any], None], words: str
) -> None:
    """Hard links may lead in circles or multiply; depth and number are bounded."""
    monkeypatch.setattr(hdf5, "MAX_OBJECTS", 200)
    refusal(written(tmp_path / "evil.h5", make), words)


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """A link's name with an escape sequence is shown as an escape."""

    def make(file: Any) -> None:
        file["\x1b[2Jboo"] = h5py.SoftLink("/x")

    assert "\x1b" not in str(refusal(written(tmp_path / "evil.h5", make), "\\x1b[2Jboo"))


def changed(path: Path, at: int, data: bytes) -> Path:
    path.write_bytes(WEIGHTS[:at] + data + WEIGHTS[at + len(data) :])
    return path


@pytest.mark.parametrize("at", range(40, 176, 4))
def test_an_address_beyond_any_file_is_refused(tmp_path: Path, at: int) -> None:
    """A number that no C type holds is a damaged file, from a path and from within a .keras."""
    for number in (2**64 - 16, 2**63, 2**63 - 1):
        path = changed(tmp_path / "evil.weights.h5", at, struct.pack("<Q", number))
        for source in (path, path.read_bytes()):
            try:
                hdf5.Hdf5(source, "evil")
            except InputError as error:
                assert "C ssize_t" not in str(error)


def test_a_text_of_4_gib_is_not_believed(tmp_path: Path) -> None:
    """HDF5 itself takes 4 GiB and 19 s before it sees that the text has 8 bytes."""
    heap = WEIGHTS.index(b"GCOL")
    reference = WEIGHTS.index(struct.pack("<IQ", len("the_lstm"), heap))
    path = changed(tmp_path / "evil.weights.h5", reference, b"\xf0\xff\xff\xff")
    refusal(path, "a text of 4,294,967,280 bytes, 8 are there", "attribute name")


def test_a_heap_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    """A free block of size zero makes HDF5 itself loop for ever."""
    heap = WEIGHTS.index(b"GCOL")
    at = heap + 16
    while WEIGHTS[at : at + 2] != b"\0\0":
        (length,) = struct.unpack_from("<Q", WEIGHTS, at + 8)
        at += 16 + (length + 7) // 8 * 8
    path = changed(tmp_path / "evil.weights.h5", at + 8, bytes(8))
    refusal(path, f"the heap of texts at byte {heap:,} is damaged")


def test_a_header_that_continues_into_itself_is_refused() -> None:
    """An object's header says that its rest is the header itself."""
    signature = b"\x89HDF\r\n\x1a\n" + bytes(5) + b"\x08\x08" + bytes(33)
    start = len(signature)
    loop = struct.pack("<HHBxxxQQ", 0x10, 16, 0, start + 16, 24)
    header = struct.pack("<BxHIIxxxx", 1, 1, 1, len(loop)) + loop
    with pytest.raises(ValueError, match="too large"):
        Texts(io.BytesIO(signature + header)).read(start, "name", 1)


def test_texts_of_either_kind_of_header_are_read(tmp_path: Path) -> None:
    """Old and new object headers, one text or a list, short and long, ASCII or not."""
    listed = ["", "käse", "x" * 3000]
    for version in ("earliest", "latest"):

        def make(file: Any) -> None:
            group = file.create_group("g")
            group.attrs["list"] = listed
            for name in "abcde":
                group.attrs[name] = name

        path = written(tmp_path / f"{version}.h5", make, libver=version)
        opened = hdf5.Hdf5(path, "test")
        assert opened.texts("g", "list") == listed
        assert [opened.text("g", name) for name in "abcdef"] == [*"abcde", None]


@pytest.mark.parametrize("file", ["keras3_sequential.weights.h5", "keras3_sequential.keras"])
def test_a_file_that_ends_too_early_is_refused(tmp_path: Path, file: str) -> None:
    """Cut anywhere: an error in three parts, or all that is asked for is whole."""
    data = (FILES / file).read_bytes()
    whole = dict(read(FILES / file).tensors)
    path = tmp_path / file
    for size in [0, 1, 7, 8, 100, *range(500, len(data), 487), len(data) - 1]:
        path.unlink(missing_ok=True)
        path.write_bytes(data[:size])
        try:
            tensors = read(path).tensors
            assert all(np.array_equal(tensors[name], whole[name]) for name in tensors)
        except InputError as error:
            assert error.where
            assert error.hint


def test_a_changed_byte_never_gets_past_as_another_error(tmp_path: Path) -> None:
    """300 files with bytes changed, in a process of its own: no crash, no hang, no traceback."""
    code = f"""
import random
from pathlib import Path
from lstm_cli.base.errors import InputError
from lstm_cli.formats.keras import read
for name in ("keras3_sequential.weights.h5", "keras224.h5", "keras_cudnn.h5"):
    data = (Path({str(FILES)!r}) / name).read_bytes()
    for seed in range(100):
        generator, changed = random.Random(seed), bytearray(data)
        for _ in range(generator.choice([1, 3, 20])):
            changed[generator.randrange(len(changed))] = generator.choice([0, 1, 128, 255])
        path = Path({str(tmp_path)!r}) / f"{{seed}}{{name}}"
        path.write_bytes(changed)
        try:
            dict(read(path).tensors)
        except InputError:
            pass
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_plugins_are_off_and_the_environment_is_as_it_was(tmp_path: Path) -> None:
    """HDF5_PLUGIN_PRELOAD is :: while h5py is imported, and not before or after."""
    (tmp_path / "h5py.py").write_text("import os\nSEEN = os.environ['HDF5_PLUGIN_PRELOAD']\n")
    code = (
        "import os; from lstm_cli.formats import hdf5; import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "print(hdf5.library().SEEN, os.environ.get('HDF5_PLUGIN_PRELOAD'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HDF5_PLUGIN_PRELOAD"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stdout.split() == [b"::", b"None"], done.stderr


MODEL = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}


def keras_file(path: Path, *members: tuple[str, bytes], deflate: bool = False) -> Path:
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def nested(depth: int) -> bytes:
    text = "{}"
    for _ in range(depth):
        text = '{"class_name": "M", "config": {"layers": [' + text + "]}}"
    return text.encode()


def crowd(count: int) -> bytes:
    layers = [{"class_name": "LSTM", "config": {"name": str(n)}} for n in range(count)]
    return json.dumps({"class_name": "Sequential", "config": {"layers": layers}}).encode()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"{", "the configuration is not JSON"),
        (b"\xff\xfe{}", "the configuration is not JSON"),
        (b'{"a": 1, "a": 2}', "a key is given twice"),
        (b"[" * 100_000, "the configuration is not JSON"),
        (b"9" * 5000, "the configuration is not JSON"),
        (nested(60), "nested deeper than 48"),
        (crowd(1001), "more than 1,000 LSTM layers in config.json"),
    ],
)
def test_a_bad_configuration_is_refused(tmp_path: Path, config: bytes, words: str) -> None:
    """Malformed, with double keys, or too deep: said with the member's name."""
    path = keras_file(
        tmp_path / "evil.keras", ("config.json", config), ("model.weights.h5", WEIGHTS)
    )
    refusal(path, words)


@pytest.mark.parametrize(
    "config",
    [[], 7, "text", {}, {"config": 3}, {"class_name": [], "config": {"layers": {}}},
     {"class_name": "RNN", "config": {"cell": 1}}, {"class_name": "Bidirectional", "config": {}},
     {"class_name": "Sequential", "config": [None, 1, {"class_name": "LSTM"}]},
     {"class_name": "RNN", "config": {"cell": {"class_name": "StackedRNNCells",
                                               "config": {"cells": [1, None]}}}}],
)  # fmt: skip
def test_a_configuration_of_the_wrong_types_is_passed_by(tmp_path: Path, config: Any) -> None:
    """JSON that is no model's: the weights are still found by themselves."""
    path = keras_file(
        tmp_path / "odd.keras",
        ("config.json", json.dumps(config).encode()), ("model.weights.h5", WEIGHTS),
    )  # fmt: skip
    assert [block.name for block in read(path).blocks] == ["the_lstm"]


def test_weights_are_not_read_as_plain_beside_an_lstm_of_the_wrong_types(tmp_path: Path) -> None:
    """A configuration that has an LSTM says more of it than its weights do, even if wrongly."""
    config = {"class_name": "LSTM", "config": {"units": "4", "activation": {}}}
    path = keras_file(
        tmp_path / "odd.keras",
        ("config.json", json.dumps(config).encode()), ("model.weights.h5", WEIGHTS),
    )  # fmt: skip
    contents = read(path)
    assert contents.blocks == ()
    assert len(contents.refused) == 2


def test_code_in_a_configuration_is_only_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with a Lambda layer, as Keras wrote it: nothing is unpacked, looked up or run."""
    for name in ("marshal", "pickle", "keras", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    path = FILES / "keras3_lambda.keras"
    with zipfile.ZipFile(path) as archive:
        assert b'"class_name": "__lambda__"' in archive.read("config.json")
    assert [block.name for block in read(path).blocks] == ["the_lstm"]


@pytest.mark.parametrize("name", ["model.weights.h5", "config.json"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    """Which one is meant is not guessed."""
    config = json.dumps(MODEL).encode()
    members = [("config.json", config), ("model.weights.h5", WEIGHTS), (name, WEIGHTS)]
    refusal(keras_file(tmp_path / "evil.keras", *members), f"'{name}' is there twice")


@pytest.mark.parametrize("name", ["model.weights.h5", "config.json", "metadata.json"])
def test_a_zip_bomb_is_refused_by_its_directory(tmp_path: Path, name: str) -> None:
    """64 MiB of zeros in 64 kiB: told from the declared sizes, nothing is unpacked."""
    members = {"config.json": json.dumps(MODEL).encode(), "model.weights.h5": WEIGHTS}
    members[name] = bytes(64 * 2**20)
    path = keras_file(tmp_path / "evil.keras", *members.items(), deflate=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(path, f"{name} declares 67,108,864 bytes")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


def test_a_member_larger_than_it_declares_is_refused(tmp_path: Path) -> None:
    """The directory says 100 bytes, the stream unpacks to a gigabyte: 100 are unpacked."""
    squeezed = zlib.compressobj(9, wbits=-15)
    body = b"".join([squeezed.compress(bytes(2**20)) for _ in range(64)]) + squeezed.flush()
    name = b"model.weights.h5"
    crc = zlib.crc32(bytes(100))
    common = struct.pack("<HHHHHIII", 20, 0, 8, 0, 33, crc, len(body), 100)
    local = b"PK\x03\x04" + common + struct.pack("<HH", len(name), 0) + name + body
    central = b"PK\x01\x02\x14\x00" + common + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(central) + len(name), len(local), 0)
    path = tmp_path / "evil.keras"
    path.write_bytes(local + central + name + end)
    refusal(path, "evil.keras")


def test_a_zip_of_something_else_says_what_it_lacks(tmp_path: Path) -> None:
    """Weights in another form, or no model at all."""
    refusal(keras_file(tmp_path / "a.keras", ("notes.txt", b"hello")),
            "no model.weights.h5 among notes.txt")  # fmt: skip


def test_neither_zip_nor_hdf5_is_refused(tmp_path: Path) -> None:
    """Text, or nothing."""
    for data in (b"", b"hello", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        path = tmp_path / f"{len(data)}.h5"
        path.write_bytes(data)
        refusal(path)


def test_a_member_of_the_zip_is_guarded_as_a_file_is(tmp_path: Path) -> None:
    """The weights within .keras may not point into other files either."""
    other_file(tmp_path)
    evil = written(tmp_path / "evil.h5", external_storage).read_bytes()
    path = keras_file(tmp_path / "evil.keras", ("model.weights.h5", evil))
    refusal(path, "external dataset", "evil.keras, model.weights.h5")


def test_reading_leaves_the_file_free(tmp_path: Path) -> None:
    """The same process may write the file again while its contents are held."""
    path = tmp_path / "w.h5"
    written(path, lambda file: file.__setitem__("w", SECRET))
    contents = read(path)
    assert np.array_equal(contents.tensors["w"], SECRET)
    written(path, lambda file: file.__setitem__("w", 2 * SECRET))
    assert np.array_equal(contents.tensors["w"], 2 * SECRET)
