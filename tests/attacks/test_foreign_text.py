"""Text that strangers wrote into files: in whatever field it stands, it comes out as text."""

from __future__ import annotations

import csv
import json
import shlex
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.build import (
    entry,
    mat_element,
    mat_file,
    mat_head,
    mat_matrix,
    pickled,
    safetensors,
    storage,
    tensor,
    text,
    torch_zip,
)
from tests.tools import Answer, assert_tame, call

FILES = Path(__file__).parent.parent / "files"
# A title, a colour, C1, DEL, marks that turn or break a line, and rich's markup, in one name.
EVIL = "\x1b]0;owned\x07\x9b31m\x7f\u202e\u2066\u061c\u200f\u2028\r\n[red]evil[/red]"
LINE = "".join(EVIL.splitlines())
SIZES = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2), "bias_ih_l0": (8,), "bias_hh_l0": (8,)}


def arrays(prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors of a PyTorch LSTM of H = 2, I = 3, all numbers distinct."""
    count = sum(int(np.prod(shape)) for shape in SIZES.values())
    numbers = np.linspace(-0.9, 0.8, count, dtype="<f4")
    found, at = {}, 0
    for name, shape in SIZES.items():
        size = int(np.prod(shape))
        found[prefix + name] = numbers[at : at + size].reshape(shape)
        at += size
    return found


def write_safetensors(path: Path, named: dict[str, Any], dtype: str = "F32") -> None:
    """Write tensors; `dtype` is what an additional tensor calls its type."""
    body, header = b"", {}
    for name, array in named.items():
        header[name] = entry(list(array.shape), len(body), len(body) + array.nbytes)
        body += array.tobytes()
    if dtype != "F32":
        header["more"] = entry([1], len(body), len(body) + 4, dtype)
        body += bytes(4)
    path.write_bytes(safetensors(header, body))


# ---- each format with such a name wherever it has text


def _safetensors_names(folder: Path) -> list[Path]:
    two, lone, runs = (folder / f"{name}.safetensors" for name in ("two", "lone", "runs"))
    write_safetensors(runs, arrays(f"{LINE}."))
    write_safetensors(two, arrays(f"{EVIL}.a.") | arrays(f"{EVIL}.b."))
    write_safetensors(lone, {EVIL: np.ones(3, "<f4")})
    return [two, lone, runs]


def _safetensors_dtypes(folder: Path) -> list[Path]:
    beside, alone, own = (folder / f"{name}.safetensors" for name in ("beside", "alone", "own"))
    write_safetensors(beside, arrays(), EVIL)
    write_safetensors(alone, {}, EVIL)
    header = {name: entry(list(a.shape), 0, 0, EVIL) for name, a in arrays().items()}
    own.write_bytes(safetensors(header | {"__metadata__": {EVIL: EVIL}}))
    return [beside, alone, own]


def _safetensors_faults(folder: Path) -> list[Path]:
    paths = []
    for number, header in enumerate((
        {EVIL: {"dtype": EVIL}}, {EVIL: entry([1], 0, 9, "F32")}, {EVIL: entry([1], 4, 8)},
        {"a": {"dtype": EVIL, "shape": EVIL, "data_offsets": EVIL}},
        ("{" + f"{json.dumps(EVIL)}: 1, {json.dumps(EVIL)}: 1" + "}").encode(),
        ("{" + f'"a": {EVIL}' + "}").encode(),
    )):  # fmt: skip
        paths.append(folder / f"fault{number}.safetensors")
        paths[-1].write_bytes(safetensors(header, bytes(4)))
    return paths


def _npz(folder: Path) -> list[Path]:
    two, other = folder / "two.npz", folder / "other.npz"
    with zipfile.ZipFile(two, "w") as archive:
        for name, array in (arrays("\x1b[31m\u202e.a.") | arrays("\x1b[31m\u202e.b.")).items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.save(stream, array)
    with zipfile.ZipFile(other, "w") as archive:
        with archive.open("\x1b[2J.npy", "w") as stream:
            np.save(stream, np.zeros(2, dtype=[("\x1b[31m\u202e", "f4")]))
        with archive.open("a.npy", "w") as stream:
            stream.write(b"\x93NUMPY\1\0" + struct.pack("<H", 60)
                         + "{'descr': '\x1b[2J\x07', 'fortran_order': False, 'shape': (1,)}"
                         .ljust(60).encode())  # fmt: skip
    return [two, other]


def _json(folder: Path) -> list[Path]:
    paths = []
    named = {name: a.tolist() for name, a in arrays(f"{EVIL}.a.").items()}
    for number, document in enumerate((
        {name: a.tolist() for name, a in arrays(f"{LINE}.").items()}, named, named | {k.replace(".a.", ".b."): v for k, v in named.items()},
        {EVIL: "\ud800"}, {EVIL: [[1], [1, 2]]}, {EVIL: [EVIL]}, {EVIL: {EVIL: EVIL}}, [EVIL], EVIL,
        {"\ud800": [1.0], "b": [2.0]}, {**{f"W_{k}": [[1, 1]] for k in "figo"}, EVIL: [1]},
    )):  # fmt: skip
        paths.append(folder / f"w{number}.json")
        paths[-1].write_text(json.dumps(document))
    return paths


def _pytorch(folder: Path) -> list[Path]:
    files = {
        "names": pickled(b"}", text(EVIL), tensor((2, 2), (2, 1)), b"s"),
        "key": pickled(b"}", text(EVIL), tensor((2, 2), (2, 1), store=storage(EVIL)), b"s"),
        "global": pickled(b"c\x1b]0;x\x07\n\x9b\xc2\x9b31m\n"),
        "stacked": b"\x80\x04" + text(EVIL) + text(EVIL) + b"\x93.",
        "kind": pickled(b"}", text("a"), tensor((2,), (1,), store=storage(kind="torch\n\x1b[2J"))),
    }
    for name, data in files.items():
        (folder / f"{name}.pt").write_bytes(torch_zip(data, {"0": bytes(16)}))
    with zipfile.ZipFile(folder / "zip.pt", "w") as archive:
        archive.writestr("\x1b[2J\u202e", b"")
    return [*(folder / f"{name}.pt" for name in files), folder / "zip.pt"]


def _flax_array(array: np.ndarray[Any, Any]) -> bytes:
    sizes = bytes([0x90 + array.ndim, *array.shape])
    inner = b"\x93" + sizes + b"\xa7float32" + b"\xc5" + struct.pack(">H", array.nbytes)
    inner += array.tobytes()
    return b"\xc8" + struct.pack(">H", len(inner)) + b"\1" + inner


def _msgpack(folder: Path) -> list[Path]:
    def string(value: str) -> bytes:
        return b"\xda" + struct.pack(">H", len(value.encode())) + value.encode()

    def array(dtype: str, count: int = 1) -> bytes:
        inner = b"\x93\x91" + bytes([count]) + string(dtype) + b"\xc4" + bytes([4 * count])
        inner += bytes(4 * count)
        return b"\xc8" + struct.pack(">H", len(inner)) + b"\1" + inner

    files = {
        "dtype": b"\x81" + string("a") + array(EVIL),
        "name": b"\x81" + string(EVIL) + array("float32"),
        "twice": b"\x82" + (string(EVIL) + array("float32")) * 2,
        "nul": b"\x81" + string("a\0b") + array("\0\x1b"),
    }
    named = [string(f"{LINE}.{name}") + _flax_array(each) for name, each in arrays().items()]
    files["runs"] = bytes([0x80 + len(named)]) + b"".join(named)
    for name, data in files.items():
        (folder / f"{name}.msgpack").write_bytes(data)
    return [folder / f"{name}.msgpack" for name in files]


def _matlab(folder: Path) -> list[Path]:
    opaque = mat_head(EVIL, (1, 1), kind=3) + mat_element(1, EVIL.encode())
    data = mat_file(mat_matrix(EVIL, (1, 2), bytes(16)), mat_element(14, opaque))
    (folder / "w.mat").write_bytes(data)
    (folder / "text.mat").write_bytes(mat_file(mat_matrix(EVIL, (1, 2), bytes(16), kind=4)))
    return [folder / "w.mat", folder / "text.mat"]


def _keras(folder: Path) -> list[Path]:
    h5py = pytest.importorskip("h5py")
    evil = EVIL.replace("/", "")
    config = {"name": evil, "units": 2, "activation": evil, evil: evil}
    configs: list[Any] = [
        config, config | {"activation": "tanh", "recurrent_activation": "sigmoid"},
        config | {"activation": {"class_name": evil, "config": evil, "registered_name": evil}},
        config | {"activation": "tanh", "dtype": {"config": {"name": evil}}, "module": evil},
    ]  # fmt: skip
    layers = [{"class_name": name, "config": each, "registered_name": evil, "module": evil}
              for each in configs for name in ("LSTM", f"LSTM{evil}")]  # fmt: skip
    layers.append({"class_name": "Bidirectional", "config": {
        "name": evil, "merge_mode": evil, "layer": layers[2]}})  # fmt: skip
    layers.append({"class_name": evil, "config": {"name": evil, "layers": [layers[2]]}})
    paths = []
    with h5py.File(folder / "w.weights.h5", "w") as file:
        for number, array in enumerate((np.ones((3, 8)), np.eye(2, 8), np.arange(8.0))):
            file[f"layers/lstm/cell/vars/{number}"] = array
        file[f"{evil}/kernel:0"] = np.ones((3, 8))
        file.attrs["layer_names"] = [evil]
        file.attrs["keras_version"] = evil
    paths.append(folder / "w.weights.h5")
    for number, layer in enumerate(layers):
        paths.append(folder / f"w{number}.keras")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            model = {"class_name": "Sequential", "config": {"name": evil, "layers": [layer]}}
            archive.writestr("config.json", json.dumps(model))
            archive.writestr("metadata.json", json.dumps({"keras_version": evil}))
            archive.write(paths[0], "model.weights.h5")
    with h5py.File(folder / "old.h5", "w") as file:
        file.attrs["layer_names"] = np.array([evil.encode()])
        file.attrs["keras_version"] = evil
        file.attrs["backend"] = evil
        file.attrs["model_config"] = json.dumps({"class_name": evil, "config": {"layers": layers}})
        group = file.create_group(evil)
        group.attrs["weight_names"] = np.array([evil.encode()])
        shapes = {"kernel:0": (3, 8), "recurrent_kernel:0": (2, 8), "bias:0": (8,)}
        for name, shape in shapes.items():
            group[name] = np.ones(shape)
        group["text"] = evil
        file[evil + "soft"] = h5py.SoftLink(evil)
    return [*paths, folder / "old.h5"]


def _onnx(folder: Path) -> list[Path]:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    named = {"W": (1, 8, 3), "R": (1, 8, 2), "B": (1, 16)}
    tensors = [
        onnx.numpy_helper.from_array(np.linspace(-1, 0.9, int(np.prod(s)), dtype="f4").reshape(s),
                                     f"{EVIL}{key}")
        for key, s in named.items()
    ]  # fmt: skip
    inputs = ["X", *(f"{EVIL}{key}" for key in named)]
    good: dict[str, Any] = {"hidden_size": 2}
    nodes = [
        *(helper.make_node("LSTM", inputs, ["Y"], name=EVIL, **good) for _ in range(2)),
        helper.make_node("LSTM", inputs, ["Y"], name=EVIL, direction=EVIL, **good),
        helper.make_node("LSTM", inputs, ["Y"], name=EVIL, activations=[EVIL] * 3, **good),
        helper.make_node("LSTM", inputs, ["Y"], name=EVIL, **{EVIL: EVIL}, **good),
        helper.make_node("LSTM", inputs, ["Y"], name=EVIL, domain=EVIL, **good),
        helper.make_node("LSTM", ["X", EVIL, EVIL + "?"], ["Y"], name=EVIL, **good),
        helper.make_node(EVIL, ["X"], [EVIL], name=EVIL),
        helper.make_node(f"LSTM{EVIL}", inputs, ["Y"], name=EVIL),
        helper.make_node("LSTM", [*inputs, EVIL, EVIL, EVIL], ["Y"], name=EVIL, **good),
    ]
    outside = onnx.TensorProto(name=EVIL, data_type=1, dims=[1], data_location=1)
    for key in ("location", "offset", EVIL):
        outside.external_data.add(key=key, value=EVIL)
    graphs = {"all": nodes, "two": nodes[:2], "one": nodes[:1]}
    for name, own in graphs.items():
        more = [outside] if name == "all" else []
        graph = helper.make_graph(own, EVIL, [], [], [*tensors, *more], doc_string=EVIL)
        model = helper.make_model(graph, producer_name=EVIL, producer_version=EVIL, domain=EVIL)
        model.opset_import.add(domain=EVIL, version=1)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return [folder / f"{name}.onnx" for name in graphs]


def _tflite(folder: Path) -> list[Path]:
    paths = []
    for name in ("mnist_lstm", "mnist_lstm_int8"):
        data = (FILES / f"{name}.tflite").read_bytes()
        for number, word in enumerate((b"MLIR Converted.", b"lstm", b"model", b"sequential")):
            paths.append(folder / f"{name}{number}.tflite")
            paths[-1].write_bytes(data.replace(word, b"\x1b[2J\x07\x9b"[:4] + word[4:]))
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(b"\x1b[2J" + data[4:])
    return paths


WRITERS: dict[str, Callable[[Path], list[Path]]] = {
    function.__name__[1:]: function
    for function in (_safetensors_names, _safetensors_dtypes, _safetensors_faults, _npz, _json,
                     _pytorch, _msgpack, _matlab, _keras, _onnx, _tflite)
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.few(4)
def test_a_weight_file_cannot_steer_a_terminal(name: str, tmp_path: Path) -> None:
    """Names, types, versions and whatever else a weight file says come out only as escapes."""
    wide = {"COLUMNS": "400"}
    for path in WRITERS[name](tmp_path):
        run = ("--x", "1,2,3", "--weights", path)
        answers = [
            call("inspect", path, env=wide), call("inspect", path, "--json"),
            call("inspect", path, "--convention", "pytorch"),
            call("inspect", path, "--allow-external-data"),
            call(*run, "-f", "table", env=wide), call(*run, "--lstm", "x"),
            call(*run, "--lstm", "0", "-f", "table"), call(*run, "--lstm", "0", "-f", "markdown"),
            call(*run, "--lstm", "0", "--convention", "tf1"),
            call("convert", path, tmp_path / "out.json"),
            call("convert", path, tmp_path / "out.safetensors", "--to", "pytorch", "--lstm", "0"),
            call("diagnose", *run, "--lstm", "0", "--expect", "h=0.5,0.25"),
            call("diagnose", *run, "--expect", "h=0.5,0.25", "-f", "markdown"),
        ]  # fmt: skip
        for answer in answers:
            assert_only_text(answer, path)


def assert_only_text(answer: Answer, path: object) -> None:
    """Assert that no byte of a stranger steers a terminal, breaks a line or is a bug."""
    assert "this is a bug" not in answer.err, path
    pages = answer.raw.replace(b"\f\n", b"")  # a page break of ours
    assert_tame(Answer(answer.code, pages, answer.err))
    for each in (answer.out, answer.err):
        assert "\n[red]" not in each
        assert "\t[red]" not in each


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.full
def test_a_weight_file_is_only_text_in_every_command(name: str, tmp_path: Path) -> None:
    """Each command that takes weights shows what they are called as text, in each of its formats."""
    shown = 0
    for path in WRITERS[name](tmp_path):
        chosen = ("--weights", path, "--lstm", "0")
        run = ("--x", "1,2,3", *chosen)
        first = call(*run, "-f", "table")
        assert_only_text(first, path)
        if first.code or shown == 3:
            continue  # each command says the same of it, or names it in the same place
        sample = tmp_path / "s.json"
        sample.write_text(json.dumps({"id": EVIL, "x": [1, 2, 3], "expected": {"h": [1, 2]}}))
        answers = [
            *(call(*run, "-f", form) for form in ("plain", "csv", "latex", "json", "jsonl", "c")),
            *(call("explain", *run, "-f", form) for form in ("text", "markdown", "latex", "json")),
            *(call("grad", *run, "-f", form)
              for form in ("table", "plain", "csv", "markdown", "latex", "json")),
            *(call("batch", sample, *chosen, "--check", "-f", form) for form in ("table", "jsonl")),
            *(call("vet", sample, *chosen, "-f", form) for form in ("table", "markdown", "json")),
            *(call("diagnose", *run, "--expect", "h=1,2", "-f", form) for form in ("table", "json")),
            *(call("convert", path, tmp_path / f"out{suffix}", "--lstm", "0", "--force")
              for suffix in (".json", ".npz", ".h")),
            call("explain", "--exercise", *run), call(*run, "--fixed", "Q3.12", "-f", "table"),
            call("report", *run, "-o", "-", "-f", "svg"),
        ]  # fmt: skip
        for answer in answers:
            assert_only_text(answer, path)
        shown += 1
    assert shown or name in ("safetensors_faults", "matlab", "pytorch", "tflite")


# ---- cells, samples and answers


CELL = """\
name = {evil}
title = {evil}
source = {evil}
equations = '''
f = sigmoid(W_f @ [h_prev, x] + b_f)  # {label}
i = sigmoid(W_i @ [h_prev, x] + b_i)
g = tanh(W_g @ [h_prev, x] + b_g)
o = sigmoid(W_o @ [h_prev, x] + b_o)
c = f * c_prev + i * g
h = o * tanh(c)
'''
"""


def write_cell(path: Path, evil: str) -> Path:
    """Write a cell with such a name, title, source and label."""
    label = " ".join(evil.splitlines())
    for mark in map(chr, [*range(9), *range(11, 32), 127]):  # TOML has none in a text of its own
        label = label.replace(mark, "")
    path.write_text(CELL.format(evil=json.dumps(evil, ensure_ascii=False).replace("\x7f", "\\u007f"),
                                label=label), encoding="utf-8")  # fmt: skip
    return path


def test_a_cell_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """What a cell of TOML calls itself and its rows comes out only as escapes, in every command."""
    cell = write_cell(tmp_path / "cell.toml", EVIL)
    given = ("--x", "1;2", "--cell", cell, "--preset", "random")
    sheet = ("exercise", "--cell", cell, "--preset", "random")
    answers = [call(*given, "-f", form, env={"COLUMNS": width})
               for form in ("table", "plain", "csv", "markdown", "latex", "json", "c")
               for width in ("40", "200")]  # fmt: skip
    answers += [call("explain", *given, "-f", form) for form in ("text", "markdown", "latex")]
    answers += [call("grad", *given, "-f", form) for form in ("table", "plain", "markdown")]
    answers += [call(*sheet, "-f", form) for form in ("text", "markdown", "latex")]
    answers += [call(*given, "--fixed", "Q3.12", "-f", form) for form in ("table", "plain", "c")]
    answers.append(call("diagnose", *given, "--expect", "h=0.5"))
    for answer in answers:
        assert answer.code in (0, 1), answer.err
        assert_tame(Answer(answer.code, answer.raw.replace(b"\f\n", b""), answer.err))


@pytest.mark.full
def test_samples_and_answers_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """Ids, names and what else samples and answers hold come out only as escapes."""
    path, answers = tmp_path / "s.json", tmp_path / "answers.csv"
    sample = {"id": EVIL, "x": [1.0, 0.5], "h": [0.1, 0.2], "c": [0.3, -0.2], EVIL: EVIL}
    bad = {"h": [0.5, 0.6]}
    path.write_text(json.dumps([sample | {"expected": bad}] * 2, ensure_ascii=False))
    one = tmp_path / "one.json"
    one.write_text(json.dumps(sample))
    with open(answers, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["name", "h[0]", "h[1]", EVIL], [EVIL, "0.1", EVIL, EVIL]])
    for answer in (
        call("diagnose", path), call("diagnose", path, "-f", "markdown"), call("vet", path),
        call("vet", path, "-f", "markdown"), call("vet", path, "--stronger", tmp_path / "more.json"),
        call("batch", path, "--check", "-f", "table"), call("batch", path, "--check"),
        call("grade", one, answers), call("diagnose", one),
        call("grade", one, answers, "-f", "csv"),
    ):  # fmt: skip
        assert "this is a bug" not in answer.err
        assert_tame(answer)


# ---- spreadsheets


@pytest.mark.parametrize(
    "command", [("run",), ("grad",), ("run", "--fixed", "Q3.12"), ("run", "--steps", "3")]
)
def test_a_label_is_no_formula_in_tab_separated_text(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """What a stranger calls a row is text where a spreadsheet opens it; numbers stay numbers."""
    cell = write_cell(tmp_path / "cell.toml", "=cmd|' /C calc'!A0")
    answer = call(*command, "--x", "-0.5,1", "--cell", cell, "--preset", "random", "-f", "plain")
    cells = [each for line in answer.out.splitlines() for each in line.split("\t")]
    assert any(each.startswith("'=cmd|") for each in cells)
    assert not any(each.startswith(("=", "@", "+")) for each in cells)
    assert "-0.5" in cells or command != ("run",)


# ---- Markdown


MARKDOWN = "<img src=x onerror=alert(1)> [a](http://b) ![c](d) `e` *f* _g_ # | \\| ~~h~~ &lt; $i$"


def unescaped(text: str) -> set[str]:
    """Return the signs that mean something to Markdown and have no backslash before them."""
    return {sign for place, sign in enumerate(text)
            if sign in "<>[]!`*_#|~&$" and (place == 0 or text[place - 1] != "\\")}  # fmt: skip


def test_foreign_text_means_nothing_to_markdown(tmp_path: Path) -> None:
    """Labels and ids stand in the tables of run, diagnose and vet as they stand in explain."""
    cell = write_cell(tmp_path / "cell.toml", MARKDOWN.replace("#", ""))
    given = ("--x", "1", "--h", "0.1", "--cell", cell, "--preset", "random", "-f", "markdown")
    (line,) = [each for each in call(*given).out.splitlines() if each.startswith("| f_t ")]
    cells = line.removeprefix("| ").split(" | ")
    assert len(cells) == 4
    assert "onerror" in cells[1]
    assert not unescaped(cells[1])
    shown = call("explain", *given).out
    assert not unescaped(next(each for each in shown.splitlines() if "onerror" in each)[4:])
    path = tmp_path / "s.json"
    sample = {"x": [1.0, 0.5], "h": [0.1, 0.2], "c": [0.3, -0.2], "expected": {"h": [0.5, 0.6]}}
    path.write_text(json.dumps({"id": MARKDOWN} | sample))
    (row,) = call("diagnose", path, "-f", "markdown").out.splitlines()[2:]
    assert not unescaped(row.removeprefix("| ").split(" | ")[0])
    named = tmp_path / f"{MARKDOWN.replace('/', '')}.json"
    right = call("--x", "1,0.5", "--h", "0.1,0.2", "--c", "0.3,-0.2", "--json").json["h"]
    named.write_text(json.dumps(sample | {"expected": {"h": right}}))
    row = call("vet", named, "-f", "markdown").out.splitlines()[2]
    assert "onerror" in row
    assert not unescaped(row.removeprefix("| ").split(" | ")[0])


# ---- commands to paste


WORDS = ("$(touch PWNED)", "; touch PWNED #", "`touch PWNED`", "a'; touch PWNED; '", "a\tb", "-x",
         "\x1b[31m$(touch PWNED)'\\", "!x", "* ?", "é \u202e ü", "\x7f", "--help", "a.", "~")  # fmt: skip


def words_of(command: str, folder: Path) -> list[str]:
    """Return the words that bash makes of a command, each followed by a NUL, run in a folder."""
    script = f"for word in {command}; do printf '%s\\0' \"$word\"; done"
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@pytest.mark.parametrize("name", WORDS)
def test_a_proposed_layer_is_one_word_and_is_found(name: str, tmp_path: Path) -> None:
    """`try: --lstm …` is pasted as it stands, runs nothing else, and chooses the LSTM."""
    path = tmp_path / "w.safetensors"
    write_safetensors(path, arrays(f"{name}.") | arrays("other."))
    answer = call("--x", "1,2,3", "-w", path)
    hint = answer.err.split("try:   choose one: ")[1].rstrip("\n")
    words = words_of(hint, tmp_path)
    assert len(words) == 2
    assert not (tmp_path / "PWNED").exists()
    chosen = call("--x", "1,2,3", "-w", path, *words)
    assert chosen.code == 0, chosen.err
    assert chosen.raw == call("--x", "1,2,3", "-w", path, "--lstm", "0").raw


@pytest.mark.parametrize("name", WORDS)
def test_a_proposed_file_is_one_word_and_is_that_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What vet and batch propose to run names the very file, whatever it is called."""
    monkeypatch.chdir(tmp_path)
    path = Path(f"{name}.json")
    sample = {"x": [1.0, 0.5], "h": [0.1, 0.2], "expected": {"h": [0.5, 0.6]}}
    path.write_text(json.dumps(sample))
    batch = call("batch", "--check", "--", path).err
    command = batch.split("why they differ: ")[1].rstrip("\n")
    Path("b.json").write_text(json.dumps(sample))
    vet = (
        call("vet", "--stronger", "x.json", "--", path, "b.json")
        .err.split("try:   ")[1]
        .rstrip("\n")
    )
    for words in (words_of(command, tmp_path), words_of(vet, tmp_path)):
        assert words[0] == "lstm-step"
        assert Path(words[2]) == path
    assert not Path("PWNED").exists()


def test_a_file_called_like_a_preset_is_quoted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that gives their numbers again takes no weights' name for shell."""
    monkeypatch.chdir(tmp_path)
    evil = Path("preset:x$(touch PWNED) (seed 1;touch PWNED).json")
    evil.write_text(json.dumps({f"W_{k}": [[0.3, 0.2]] for k in "figo"}))
    given = ("--x", "1", "--h", "0.5", "--c", "0.4", "--weights", evil)
    wrong = call(*given, "--activations", "sigmoid,tanh,relu", "--json").json["h"]
    record = call("diagnose", *given, "--expect", f"h={wrong[0]}", "--json").json
    commands = [each["run"] for finding in record["findings"] for each in finding["commands"]]
    for command in commands:
        words_of(command, tmp_path)
    assert commands
    assert not Path("PWNED").exists()


@pytest.mark.parametrize("name", WORDS)
def test_the_command_in_an_error_is_the_one_that_was_given(name: str, tmp_path: Path) -> None:
    """`where: lstm-step …` is pasted as it stands, and runs that and nothing else."""
    said = call("--x", "1,2", "--cell", name).err
    command = said.split("\nwhere: ")[1].split("\ntry: ")[0]
    words = words_of(command, tmp_path)
    assert words in (["lstm-step", "--x", "1,2", "--cell", name],
                     ["lstm-step", "--x", "1,2", "--cell", "…"])  # fmt: skip
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("preset", ["ones", "identity"])
def test_the_command_of_a_preset_runs(preset: str) -> None:
    """A preset that draws no numbers is proposed without a seed, so that the line can be pasted."""
    given = ("--x", "0.5,1", "--h", "0.1,0.2", "--c", "1,-1", "--preset", preset)
    wrong = call(*given, "--activations", "sigmoid,tanh,relu", "--json").json["h"]
    expected = "h=" + ",".join(map(str, wrong))
    record = call("diagnose", *given, "--expect", expected, "--json").json
    lines = [each["run"] for each in record["findings"][0]["commands"]]
    assert lines
    for line in lines:
        assert call(*shlex.split(line)[1:], "--json").json["h"] == pytest.approx(wrong, abs=1e-9)


# ---- what else is in a folder


def test_no_answer_lists_a_folder(tmp_path: Path) -> None:
    """A file that is not there is named, and nothing of what lies beside it."""
    for name in ("secret.npz", "secrets.json", "secret.toml", "secret.npy", "secret.csv"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "secret.d").mkdir()
    sample = tmp_path / "s.jsonl"
    samples = [{"x": [1], key: f"{name}"} for key in ("weights", "cell")
               for name in ("secre.npz", "secret.jso", "secre.toml", "secre", ".", "secret.d",
                            "secre.json", "../x.npz", "")]  # fmt: skip
    sample.write_text("\n".join(map(json.dumps, samples)))
    answers = [call("batch", sample), call("batch", tmp_path / "secre.jsonl")]
    answers += [call("vet", sample), call("diagnose", tmp_path / "secre.json")]
    for name in ("secre.npy", "secre.csv", "secre.npz", "secre.json", "secret.d", "secre", "."):
        answers += [call("--x", f"@{tmp_path / name}"), call("inspect", tmp_path / name),
                    call("--x", "1", "--cell", tmp_path / f"{name}.toml"),
                    call("convert", tmp_path / name, tmp_path / "o.npz")]  # fmt: skip
    for answer in answers:
        assert answer.code
        for name in ("secret.npz", "secrets.json", "secret.toml", "secret.npy", "secret.csv"):
            assert name not in answer.err + answer.out


# ---- long cells


@pytest.mark.parametrize(
    "text",
    ["a." * 20_000 + "a = 1", '"a"."b". ' * 8_000 + "c = 1", '"\\""."b".' * 8_000 + "c = 1",
     "[" + "a . " * 20_000 + "a]", "base = 'lstm'\nedit." + "f." * 20_000 + "g = '1'",
     "x = {" + "a.'b'." * 10_000 + "c = 1}"],
    ids=["bare", "quoted", "escaped", "table", "edit", "inline"],
)  # fmt: skip
def test_a_key_of_many_parts_is_refused_before_it_is_read(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of thousands of parts, over which Python's reader takes minutes, never reaches it."""
    monkeypatch.setattr("tomllib.loads", lambda text: pytest.fail("it was parsed"))
    path = tmp_path / "cell.toml"
    for own, words in ((text, "nested too deeply"), ("# " + "x" * 2**17, "the limit for a cell")):
        path.write_text(own if len(own) < 2**16 or "x" * 9 in own else own[: 2**16])
        answer = call("--x", "1", "--cell", path)
        assert answer.code == 3
        assert words in answer.err
