"""The public API: what commands do, as functions that take objects and give one."""

from __future__ import annotations

import ast
import inspect as python_inspect
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lstm_cli
from lstm_cli import (
    ArgumentError,
    InputError,
    LstmStepError,
    Model,
    ShapeError,
    Trace,
    UsageError,
    batch,
    convert,
    diagnose,
    explain,
    grad,
    grade,
    inspect,
    model_from_arrays,
    preset_model,
    read_cell,
    read_weights,
    report,
    run,
    step,
    vet,
)
from lstm_cli.base.errors import in_arguments
from tests.conftest import random_inputs, random_weights
from tests.tools import ROOT, call

PARITY = "samples/weights/parity.npz"
MODEL = Model.single(random_weights(read_cell("lstm"), 3, 4))
X = np.array([[0.5, -1, 0.25], [1, 0.75, -0.5]])
H, C = np.array([0.1, -0.2, 0.3, 0.4]), np.array([1, -1, 0.5, 0.25])


@pytest.fixture(autouse=True)
def _in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def one() -> Trace:
    return run(MODEL, X, H, C)


# ---- what there is


def test_every_name_is_there_and_typed() -> None:
    """Each public name loads, and each function has types and says what it raises."""
    for name in lstm_cli.__all__:
        each = getattr(lstm_cli, name)
        if python_inspect.isfunction(each):
            assert "return" in each.__annotations__
            assert "Raises:" in (each.__doc__ or ""), name
    assert set(lstm_cli.__all__) == {*lstm_cli._HOME, "__version__"} - {"backward"}


# ---- errors speak of arguments


def sources() -> Iterator[tuple[str, str]]:
    """Yield (file and line, text) of strings with an option in what errors may be raised from."""
    home = Path(lstm_cli.__file__).parent
    for room in ("base", "cell", "engine", "files", "formats", "samples", "mistakes", "show",
                 "commands/batch", "commands/convert", "commands/explain", "commands/grade",
                 "commands/inspect", "commands/report", "commands/vet"):  # fmt: skip
        # What reads `-o` and `-f` is of the command line alone.
        for file in sorted({*(home / room).rglob("*.py")} - {home / "files/output.py"}):
            tree = ast.parse(file.read_text())
            inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
                     for part in node.values}  # fmt: skip
            for node in ast.walk(tree):
                match node:
                    case ast.JoinedStr(values=parts):
                        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}"
                                       for part in parts)  # fmt: skip
                    case ast.Constant(value=str() as text) if id(node) not in inner:
                        pass
                    case _:
                        continue
                if re.search("(?<![A-Za-z-])--[a-z]", text) and "\n\n" not in text:
                    yield f"{file.relative_to(home)}:{node.lineno}", text


# Words that stand for a name after an option; any other word goes on with the sentence.
NAMES = {"numpy", "numba", "keras", "pytorch", "projection", "peephole", "last", "all", "light",
         "strips", "plain", "jsonl", "csv",
         "svg", "transpose", "{}"}  # fmt: skip


def test_no_message_speaks_of_options() -> None:
    """Whatever text with an option in it the library has, in Python it is one of arguments."""
    texts = list(sources())
    assert len(texts) > 100
    for place, text in texts:
        said = re.sub(r"`lstm-step [^`]*`|lstm-step .*", "", in_arguments(text))
        assert not re.search(r"(?<!\S)--?[a-z]", said), f"{place}: {said}"
        for word in re.findall("='([a-z]+)'", said):
            assert word in NAMES or "recurrent_activation" in said or "activation=" in said, (
                f"{place}: {said}"
            )


@pytest.mark.parametrize(
    ("option", "argument"),
    [
        ("--x has 3 numbers, W_f needs 5", "x has 3 numbers, W_f needs 5"),
        ("leave out --forget-bias, or use coupled-input", "leave out forget_bias, or use "
         "coupled-input"),
        ("say which: --convention pytorch or --convention joined-xh", "say which: "
         "convention='pytorch' or convention='joined-xh'"),
        ("for 0 give --forget-bias -1", "for 0 give forget_bias=-1"),
        ("--activations 'hard_sigmoid(0.2,0.5),tanh,tanh'", "activations='hard_sigmoid(0.2,0.5),"
         "tanh,tanh'"),
        ("--at 3, --at 1:8 (1 to 8), --at 1,5, --at last or --at all", "at=3, at='1:8' (1 to 8), "
         "at='1,5', at='last' or at='all'"),
        ("--unit: '9' is outside 0 to 1", "unit: '9' is outside 0 to 1"),
        ("--x row 4, number 2 is nan", "x row 4, number 2 is nan"),
        ("--allow-external-data reads it", "external=True reads it"),
        ("run the samples one by one: --sample 0", "run the samples one by one: x[0]"),
        ("or choose another -o FILE", "or choose another target"),
        ("-o cell.svg, or --picture strips", "kind='svg', or picture='strips'"),
        ("grade it: lstm-step grade --x 1 A.csv", "grade it: lstm-step grade --x 1 A.csv"),
        ("`lstm-step … --json` writes one", "`lstm-step … --json` writes one"),
        ("'a--x.npz' and my--layer-norm", "'a--x.npz' and my--layer-norm"),
    ],
)  # fmt: skip
def test_an_option_is_said_as_an_argument(option: str, argument: str) -> None:
    """Names with underscores, values quoted; command lines to paste and others' names stay."""
    error = UsageError(option, where="--dtype\n--x 1\n    ^", hint=option)
    assert (error.what, error.hint) == (argument, argument)
    assert error.where == "dtype\n--x 1\n    ^"
    assert str(error) == f"{argument}\nwhere: dtype\n--x 1\n    ^\ntry:   {argument}"
    assert error.as_record()["message"] == option


def test_the_command_line_says_options() -> None:
    """The same fault is `x` in Python and `--x` on the command line."""
    with pytest.raises(ShapeError, match="^x has 2 numbers, W_f needs 1\nwhere: x\n"):
        run(read_weights(PARITY), [[1, 2]])
    answer = call("--x", "1,2", "--weights", PARITY)
    assert answer.err.startswith("error: --x has 2 numbers, W_f needs 1\nwhere: --x\n")


# ---- a model of arrays


class Tensor:
    """Stands for a PyTorch tensor that requires a gradient: NumPy may have it only detached."""

    def __init__(self, values: np.ndarray[Any, Any], attached: bool = True) -> None:
        self.values, self.attached = values, attached

    def detach(self) -> Tensor:
        return Tensor(self.values, attached=False)

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        if self.attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.values


class Bfloat16(Tensor):
    """Stands for a type that NumPy lacks, until it is made a wider one."""

    def detach(self) -> Tensor:
        return self

    def float(self) -> np.ndarray[Any, Any]:
        return self.values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        raise TypeError("Got unsupported ScalarType BFloat16")


class Jax:
    """Stands for an array of JAX: nothing but `__array__`."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return self.values


def keras_arrays(hidden: int = 2, inputs: int = 3) -> list[np.ndarray[Any, Any]]:
    draw = np.random.default_rng(5).uniform
    return [draw(-1, 1, shape) for shape in ((inputs, 4 * hidden), (hidden, 4 * hidden),
                                             (4 * hidden,))]  # fmt: skip


def same(one: Model, other: Model) -> bool:
    return all(np.array_equal(mine, theirs)
               for mine, theirs in zip(one.first.arrays.values(), other.first.arrays.values(),
                                       strict=True))  # fmt: skip


@pytest.mark.parametrize("kind", [Tensor, Bfloat16, Jax])
def test_arrays_of_any_library_make_a_model(kind: Callable[[Any], Any]) -> None:
    """Tensors that want a gradient, types that NumPy lacks, whatever has `__array__`; no source."""
    plain = dict(zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
                     (*(each.T for each in keras_arrays()[:2]), *[keras_arrays()[2]] * 2),
                     strict=True))  # fmt: skip
    model = model_from_arrays({name: kind(array) for name, array in plain.items()})
    assert same(model, model_from_arrays(plain))
    assert (model.convention, model.source) == ("pytorch", "arrays")


def test_groups_of_arrays_are_names_with_dots() -> None:
    """Flax's `{"params": {"cell": {gate: {kernel, bias}}}}` is read as its file is."""
    draw = np.random.default_rng(6).uniform
    cell: dict[str, Any] = {f"i{gate}": {"kernel": draw(-1, 1, (3, 2))} for gate in "ifgo"}
    cell |= {f"h{gate}": {"kernel": draw(-1, 1, (2, 2)), "bias": draw(-1, 1, 2)} for gate in "ifgo"}
    model = model_from_arrays({"params": {"cell": cell}})
    assert (model.input_size, model.cell.name) == (3, "lstm")
    assert np.array_equal(model.first.arrays["b_f"], cell["hf"]["bias"])


def test_a_list_of_a_keras_layer_is_read_by_its_shapes() -> None:
    """`get_weights()` of one layer, with a bias or without, is what its names would say."""
    arrays = keras_arrays()
    names = ("kernel", "recurrent_kernel", "bias")
    for count in (2, 3):
        named = dict(zip(names, arrays[:count], strict=False))
        assert same(model_from_arrays(arrays[:count]), model_from_arrays(named, convention="keras"))


@pytest.mark.parametrize(
    "arrays",
    [keras_arrays() * 2, [each.T for each in keras_arrays()], [], [1.0], ["a", "b", "c"],
     [*keras_arrays()[:2], np.ones(3)]],
)  # fmt: skip
def test_a_list_that_does_not_say_what_it_holds_is_refused(arrays: list[Any]) -> None:
    """Two layers or two directions, another layout, no arrays: names are asked for."""
    with pytest.raises(InputError, match="does not say which weights they are") as caught:
        model_from_arrays(arrays)
    assert "layer.weights" in caught.value.hint


# ---- what to call


class Module:
    """Stands for a PyTorch module."""

    def state_dict(self) -> dict[str, Any]:
        return {}


class KerasLayer:
    """Stands for a layer of Keras."""

    def get_weights(self) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("model.pt", 'run(read_weights("model.pt"), x)'),
        (Path("model.pt"), 'run(read_weights("model.pt"), x)'),
        (Module(), "run(model_from_arrays(module.state_dict()), x)"),
        (KerasLayer(), "run(model_from_arrays({each.path: each for each in layer.weights}), x)"),
        ({"W_f": [[1]]}, "run(model_from_arrays(arrays), x)"),
        (MODEL.first, "run(Model.single(weights), x)"),
        (MODEL.layers[0], "run(Model((layer,)), x)"),
        (None, 'run(read_weights("weights.npz"), x)'),
    ],
)
def test_run_says_what_to_call(given: Any, advice: str) -> None:
    """A file's name, a module, arrays are no model: a TypeError that shows the call."""
    for function in (run, step):
        with pytest.raises(TypeError) as caught:
            function(given, X)
        assert isinstance(caught.value, ArgumentError)
        assert caught.value.hint == advice


def test_a_trace_says_what_to_call() -> None:
    """A model in place of a trace is refused with `run`; so is a trace in place of a model."""
    calls: Mapping[str, Callable[[Any], Any]] = {
        "grad": grad, "explain": explain, "report": report,
        "diagnose": lambda each: diagnose(each, {}), "grade": lambda each: grade(each, []),
    }  # fmt: skip
    for name, function in calls.items():
        with pytest.raises(ArgumentError) as caught:
            function(MODEL)
        assert caught.value.hint == f"{name}(run(model, x))"
    with pytest.raises(ArgumentError) as caught:
        run(one(), X)  # type: ignore[arg-type] # on purpose
    assert caught.value.hint == "run(trace.model, x)"


@pytest.mark.parametrize("given", [Module(), {"W_f": [1]}, 3, None])
def test_readers_of_files_say_what_to_call(given: Any) -> None:
    """What is no path is not looked for on the disk."""
    for function in (read_weights, inspect):
        with pytest.raises(ArgumentError, match="not the name of a file") as caught:
            function(given)
        assert "model_from_arrays" in caught.value.hint
    with pytest.raises(ArgumentError):
        convert(given, "out.npz")


@pytest.mark.parametrize("kind", [Tensor, Bfloat16, Jax, np.ndarray.tolist])
def test_inputs_of_any_library_are_run(kind: Callable[[Any], Any]) -> None:
    """Tensors, arrays and lists for x, h and c give the same run."""
    trace = run(MODEL, kind(X), kind(H), kind(C))
    assert np.array_equal(trace.h, one().h)
    assert np.array_equal(run(MODEL, [kind(row) for row in X], [kind(H)], [kind(C)]).h, one().h)
    assert np.array_equal(step(MODEL, kind(X[0]), kind(H), kind(C)).h, one()["h"][0])


@pytest.mark.parametrize(
    "x", [[[1, 2, 3], [1]], "abc", [["a", "b", "c"]], [[1j, 0, 0]], [[1, None, 3]], None, object()]
)
def test_what_is_no_array_of_numbers_is_refused(x: Any) -> None:
    """Ragged rows, words, complex numbers: an error that names the argument."""
    with pytest.raises(InputError, match="^x is not an array of numbers"):
        run(MODEL, x)


@pytest.mark.parametrize("dtype", ["float16", "float17", int, "complex128"])
def test_an_unknown_type_is_refused(dtype: Any) -> None:
    """A run is in float64 or float32; `batch` says so before it starts."""
    with pytest.raises(UsageError, match="^dtype is .*, not a type that runs have") as caught:
        run(MODEL, X, dtype=dtype)
    assert caught.value.hint == "dtype='float64' or dtype='float32'"
    with pytest.raises(UsageError):
        batch({"x": X}, dtype=dtype)
    assert next(batch({"x": X}, dtype=np.float32))["ok"]


def test_a_single_vector_is_told_of_step() -> None:
    """A vector of the right size is not told that it has the wrong one."""
    with pytest.raises(ShapeError, match=r"x has shape \(3,\), a sequence needs \(T, 3\)") as error:
        run(MODEL, X[0])
    assert "step(model, x)" in error.value.hint


# ---- what the commands do


def test_inspect_gives_what_the_command_prints() -> None:
    """The record is the JSON document; as text and Markdown it can be read."""
    found = inspect(PARITY)
    assert json.loads(json.dumps(found)) == call("inspect", PARITY, "--json").json
    assert "I = 1, H = 2" in str(found)
    assert "## LSTM 0" in found._repr_markdown_()


def test_errors_within_a_record_speak_of_arguments(tmp_path: Path) -> None:
    """An LSTM or a sample that cannot be read has an error of arguments in its place."""
    record = next(batch({"x": [[1, 2]], "weights": PARITY}))
    assert record["error"]["message"] == "x has 2 numbers, W_f needs 1"
    arrays = {
        "U_f": np.ones((2, 3)),
        "kernel": np.ones((3, 8)),
        "recurrent_kernel": np.ones((2, 8)),
    }
    np.savez(tmp_path / "w.npz", **{k: v for k, v in arrays.items() if k != "U_f"},
             bias=np.ones(7))  # fmt: skip
    (lstm,) = inspect(tmp_path / "w.npz")["lstms"]
    assert "--" not in json.dumps(lstm["error"])


def test_convert_takes_a_model_or_a_file(tmp_path: Path) -> None:
    """Both are written and read back; what would be lost is refused in Python's words."""
    done = convert(MODEL, tmp_path / "out.npz", "pytorch", dtype="float64")
    assert done.weight_difference == 0
    assert same(read_weights(tmp_path / "out.npz"), MODEL)
    assert convert(PARITY, str(tmp_path / "p.json"), "split").source == PARITY
    with pytest.raises(UsageError, match="where: to\ntry:   to='pytorch'"):
        convert(MODEL, tmp_path / "out.npz")
    peephole = preset_model("random", read_cell("peephole"), sizes={"I": 1, "H": 2})
    with pytest.raises(InputError, match="or force=True to lose it"):
        convert(peephole, tmp_path / "out.npz", "pytorch")


def test_batch_takes_files_dicts_and_arrays() -> None:
    """Samples in memory and in files give the records of the command, in order."""
    trace = one()
    sample = {"id": "a", "x": Tensor(X), "h": [H], "c": C, "expected": {"h": trace.h}, "mine": 1}
    records = list(batch([sample, "samples/parity.json"], weights=MODEL, trace=True))
    assert [each["ok"] for each in records] == [True] * len(records)
    assert records[0]["h"] == trace.h.tolist()
    assert records[0]["check"]["matched"]
    assert records[0]["mine"] == 1
    lines = call("batch", "samples/parity.json", "--check", "-f", "jsonl").out.splitlines()
    assert list(batch("samples/parity.json")) == list(map(json.loads, lines))
    with pytest.raises(ArgumentError, match="Model instead of a sample"):
        next(batch(MODEL))  # type: ignore[arg-type] # on purpose


def test_a_sample_of_another_cell_needs_weights_of_its_own() -> None:
    """A model in memory is not read again for another cell, and nothing else is run in its place."""
    record = next(batch({"x": X, "cell": "peephole"}, weights=MODEL))
    assert not record["ok"]
    assert "the weights for all are a model" in record["error"]["message"]


def test_vet_says_what_passes() -> None:
    """A file and the same sample as a dict are as strong as the command says."""
    suite = vet("samples/hand.json")
    told = call("vet", "samples/hand.json", "--json").json["suites"][0]
    assert (suite.seen, suite.applicable) == (told["seen"], told["applicable"])
    assert [each.row.id for each in suite.blind] == sorted(
        (each["id"] for each in told["blind"]), key=[v.row.id for v in suite.blind].index
    )
    assert "no-output-gate" in repr(suite)
    weak = vet({"x": [[0.0]], "expected": {"h": [0.0]}})
    assert weak.strength < suite.strength


def test_vet_makes_the_vector_of_the_command(tmp_path: Path) -> None:
    """`stronger=True` gives the samples that `--stronger FILE` writes, and how strong they are."""
    suite = vet("samples/question.json", stronger=True)
    assert suite.stronger
    assert vet("samples/question.json").stronger is None
    file = tmp_path / "better.json"
    call("vet", "samples/question.json", "--stronger", file)
    assert list(suite.stronger.documents) == [json.loads(file.read_text())]
    assert suite.stronger.suite.strength == vet(file).strength == 100


@pytest.mark.parametrize("width", [40, 100])
def test_answers_for_a_terminal_are_those_of_the_command(width: int) -> None:
    """rich prints a suite and a gradebook as the command does, at the width of the console."""
    exercise, answers = "samples/class/exercise.json", "samples/class/answers.csv"
    made = {("vet", "samples/hand.json"): vet("samples/hand.json"),
            ("grade", exercise, answers): grade(exercise, answers)}  # fmt: skip
    for words, answer in made.items():
        page = io.StringIO()
        Console(file=page, width=width).print(answer)
        told = call(*words, "-f", "table", env={"COLUMNS": str(width)}).out
        assert [line.rstrip() for line in page.getvalue().splitlines()] == [
            line.rstrip() for line in told.splitlines()
        ]


def test_grade_takes_a_run_or_an_exercise() -> None:
    """Answers of files and of dicts have the grades of the command."""
    exercise, answers = "samples/class/exercise.json", "samples/class/answers.csv"
    book = grade(exercise, answers)
    told = call("grade", exercise, answers, "--json").json
    assert [each.points for each in book.grades] == pytest.approx(
        [each["points"] for each in told["answers"]], abs=1e-3
    )
    assert book.exercise == told["exercise"]
    trace = step(MODEL, X[0], H, C)
    right = {"name": "Ann", "h": trace.h.round(6)}
    wrong = {"name": "Bob", "h": [f"{each:.4f}" for each in trace["o"][-1] * trace["c"][-1]]}
    ann, bob = grade(trace, [right, wrong], ask="h").grades
    assert (ann.name, ann.points, ann.result) == ("Ann", 100, "right")
    assert [each.id for each in bob.causes] == ["no-tanh-on-c"]
    with pytest.raises(InputError, match="2 exercises are given"):
        grade([exercise, exercise], answers)
    with pytest.raises(UsageError, match="where: ask"):
        grade(trace, right, ask=["nothing"])


def test_explain_works_a_step_out() -> None:
    """Text, Markdown and the record hold the engine's numbers of the units and steps asked for."""
    trace = one()
    work = explain(trace, unit=[1, 3], at=1, only=["f"], digits=17)
    steps = work.record()["steps"]
    assert [(each["t"], each["unit"]) for each in steps] == [(1, 1), (1, 3)]
    assert [each["rows"][0]["value"] for each in steps] == trace["f"][0, [1, 3]].tolist()
    value = f"{trace['f'][0, 3]:.5f}"
    shown = explain(trace, unit=3, at=1, only="f")
    assert value in str(shown)
    assert value in shown._repr_markdown_()
    assert r"\begin" in "".join(shown.answer.pieces("latex"))
    with pytest.raises(UsageError, match="^unit: '9' is outside 0 to 3"):
        explain(trace, unit=9)


def test_report_gives_a_page_or_a_picture() -> None:
    """A page and a circuit are text, other pictures bytes; what has no effect is refused."""
    pytest.importorskip("jinja2")
    trace = one()
    page = report(trace, unit=2, at=2)
    assert isinstance(page, str)
    assert page.startswith("<!DOCTYPE html>")
    circuit = report(trace, "svg", picture="circuit", unit=1)
    assert isinstance(circuit, str)
    assert circuit.startswith("<svg")
    with pytest.raises(UsageError, match="picture has no effect on a page\nwhere: report()"):
        report(trace, picture="lines")
    with pytest.raises(UsageError, match="kind='svg', or picture='strips'"):
        report(trace, "png", picture="circuit")
    with pytest.raises(UsageError, match="^unknown format 'gif'\nwhere: kind\n"):
        report(trace, "gif")  # type: ignore[arg-type] # on purpose


def test_strips_are_a_files_bytes() -> None:
    """A picture over time comes as the bytes of its file."""
    pytest.importorskip("matplotlib")
    made = report(one(), "png", only=["f", "c"])
    assert isinstance(made, bytes)
    assert io.BytesIO(made).read(4) == b"\x89PNG"


@pytest.mark.parametrize("name", ["explain", "report", "grade", "diagnose"])
def test_a_run_of_several_samples_is_refused(name: str) -> None:
    """What is said of one sample is not said of the first of many."""
    x, h, c = random_inputs(MODEL.first, 2)
    trace = run(MODEL, np.stack([x, -x]), np.stack([h, -h]), np.stack([c, c]))
    calls: Mapping[str, Callable[[Any], Any]] = {
        "explain": explain, "report": report, "grade": lambda each: grade(each, []),
        "diagnose": lambda each: diagnose(each, {"h": [1]}),
    }  # fmt: skip
    with pytest.raises(LstmStepError, match="batch axes") as caught:
        calls[name](trace)
    assert caught.value.hint == "run(model, x[0])"
