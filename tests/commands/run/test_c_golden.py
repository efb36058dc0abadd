"""`run -f c`: a header that compilers take, with the numbers of the run, whatever is in the cell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_cli.base.arrays import array_lines, guard, identifier
from lstm_cli.base.foreign import c_comment
from lstm_cli.cell.cells import LSTM
from lstm_cli.cell.presets import preset_model
from lstm_cli.formats.read import read_weights
from tests.tools import ROOT, assert_refused, call

GCC, GXX = shutil.which("gcc"), shutil.which("g++")
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
HAND = ["--x", "1,2,3; 4,5,6", "-w", "samples/weights/hand.json"]
STACK = ["--x", "1,2,3;0.5,0.25,-1;0,1,0", "-w", "tests/files/torch_checkpoint.pt"]

HOSTILE = '''
title = "*/ int main"
equations = """
final_h = W_f @ [h_prev, x] + b_f  # evil */ int x; /* and ??/ on \\\\
c = c_prev + tanh(final_h)  # /* // ü → */*/
qé = 0.5 * c
qü = 0.25 * c
h = tanh(c)
"""
'''

CASES: dict[str, list[str]] = {
    "one step": ["--x", "1,2"],
    "steps": HAND,
    "stack": STACK,
    "stack in integers": [*STACK, "--fixed", "Q3.12,weights=Q0.7,sum=Q7.24"],
    "float32": [*HAND, "--dtype", "float32"],
    "not finite": ["--x", "nan,inf,-inf", "--allow-nonfinite"],
    "not finite, float32": ["--x", "nan,inf", "--allow-nonfinite", "--dtype", "float32"],
    "large and small": ["--x", "1e300,-1e-300,4e-320", "--preset", "ones"],
    "least integers": ["--x", "-9,-9", "--fixed", "Q0.31", "--c", "-1,-1"],
    "chosen": [*HAND, "--at", "2", "--unit", "0,3"],
    "units that some lack": ["--x", "1,2", "--preset", "random", "--hidden-size", "4",
                             "--cell", "projection", "--output-size", "1", "--unit", "3"],
    "variant": ["--x", "1,2", "--cell", "peephole+projection", "--preset", "random",
                "--output-size", "1", "--clip", "3", "--activations", "hard_sigmoid_6,tanh,tanh",
                "--notation", "split", "--fixed", "Q4.11"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def header(arguments: list[str], path: Path) -> str:
    answer = call(*arguments, "-f", "c", "-o", path)
    assert answer.code == 0, answer.err
    return path.read_text()


def compiles(compiler: str | None, language: list[str], path: Path) -> None:
    if compiler is None:
        pytest.skip("there is no such compiler")
    source = path.with_suffix(".c" if "-std=c99" in language else ".cpp")
    source.write_text(
        f'#include "{path.name}"\n#include "{path.name}"\nint main(void) {{ return 0; }}\n'
    )
    for target in (source, path):
        done = subprocess.run(
            [compiler, *language, *STRICT, "-fsyntax-only", target], capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", CASES)
def test_a_c_compiler_takes_it(name: str, tmp_path: Path) -> None:
    """Each header is C99 without a warning, alone and included twice."""
    header(CASES[name], tmp_path / "golden.h")
    compiles(GCC, ["-std=c99"], tmp_path / "golden.h")


@pytest.mark.parametrize("name", CASES)
def test_a_cpp_compiler_takes_it(name: str, tmp_path: Path) -> None:
    """Each header is C++ without a warning, too."""
    header(CASES[name], tmp_path / "golden.h")
    compiles(GXX, ["-std=c++11", "-x", "c++"], tmp_path / "golden.h")


def test_foreign_text_stays_in_its_comment(tmp_path: Path) -> None:
    """Labels, file names and symbols of a user's table cannot break out of comments or names."""
    cell = tmp_path / "a*!b??!.toml"
    cell.write_text(HOSTILE)
    arguments = ["--x", "1,2", "--cell", str(cell)]
    for extra in ([], ["--fixed", "Q3.12"]):
        text = header([*arguments, *extra], tmp_path / "1 golden*.h")
        assert text.isascii()
        assert "int main" not in re.sub(r"/\*.*?\*/", "", text)
        assert "lstm_final_h_[" in text  # the state at the end, beside a row of that name
        assert "lstm_q_[" in text  # and two symbols that are one in ASCII
        assert "lstm_q__[" in text
        assert "#ifndef LSTM_1_GOLDEN__H_INCLUDED" in text
        compiles(GCC, ["-std=c99", "-trigraphs"], tmp_path / "1 golden*.h")


@given(st.text())
def test_a_comment_closes_where_it_ends(text: str) -> None:
    """A comment has one end, no beginning within, one line, and ASCII only."""
    made = c_comment(text)
    assert made.startswith("/* ")
    assert made.endswith(" */")
    assert "*/" not in made[2:-2]
    assert "/*" not in made[2:]
    assert "??" not in made
    assert made.isascii()
    assert made.isprintable()


def test_a_comment_keeps_what_is_harmless() -> None:
    """Equations stand in comments as they are."""
    assert c_comment("c = f * c_prev + i * g / 2") == "/* c = f * c_prev + i * g / 2 */"
    assert c_comment("what??/ why???") == "/* what? ?/ why? ? ? */"
    assert c_comment("a*/b/*c*/*d") == "/* a* /b/ *c* / *d */"


def numbers(text: str, name: str) -> object:
    """Return the numbers of an array of a header, as nested lists."""
    found = re.search(rf"static const \w+ {name}((?:\[\d+\])+) = \{{\n(.*?)\n\}};", text, re.DOTALL)
    assert found, name
    flat = [float(n) for n in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", found[2])]
    return np.array(flat).reshape([int(n) for n in re.findall(r"\d+", found[1])]).tolist()


@pytest.mark.parametrize("name", ["steps", "stack", "stack in integers", "chosen", "variant"])
def test_every_value_is_there(name: str, tmp_path: Path) -> None:
    """Each symbol of each layer, direction and step has the very numbers of `--json`."""
    text = header(CASES[name], tmp_path / "golden.h")
    document = call(*CASES[name], "--json").json
    several = len(document["final"]) > 1
    for place in document["final"]:
        prefix = f"lstm_layer{place['layer']}_{place['direction']}_" if several else "lstm_"
        here = {"layer": place["layer"], "direction": place["direction"]}
        steps = [s for s in document["steps"] if here.items() <= s.items()]
        for symbol in (key for key in steps[0] if key not in ("layer", "direction", "t")):
            assert numbers(text, prefix + symbol) == [step[symbol] for step in steps]
        for state in ("h", "c"):
            assert numbers(text, f"{prefix}final_{state}") == place[state]
        if "fixed" in document:
            steps = [s for s in document["fixed"]["steps"] if here.items() <= s.items()]
            for symbol in (key for key in steps[0] if key not in ("layer", "direction", "t")):
                assert numbers(text, f"{prefix}fixed_{symbol}") == [s[symbol] for s in steps]
    if several:
        assert numbers(text, "lstm_output") == document["output"]


def test_each_array_has_its_equation(tmp_path: Path) -> None:
    """Beside an array stands the row that made it, in the notation asked for; sizes are macros."""
    text = header(HAND, tmp_path / "golden.h")
    assert "/* forget gate: f = sigmoid(z_f) */\nstatic const double lstm_f[2][5] = {" in text
    assert "z_f = W_f @ [h_prev, x] + b_f */" in text
    for line in ("#define LSTM_STEPS 2", "#define LSTM_INPUT_SIZE 3", "#define LSTM_HIDDEN_SIZE 5",
                 "#define LSTM_OUTPUT_SIZE 5", "#define LSTM_TOLERANCE_DOUBLE 1e-13",
                 "#define LSTM_TOLERANCE LSTM_TOLERANCE_DOUBLE"):  # fmt: skip
        assert line in text.splitlines()
    split = header([*HAND, "--notation", "split"], tmp_path / "golden.h")
    assert "z_f = W_f @ x + U_f @ h_prev + b_f */" in split
    stack = header(STACK, tmp_path / "golden.h")
    assert "#define LSTM_LAYER1_BACKWARD_INPUT_SIZE 8" in stack


def tolerance(text: str, kind: str) -> float:
    """Return the tolerance that a header suggests for `DOUBLE` or `FLOAT`."""
    (found,) = re.findall(
        rf"#define LSTM_TOLERANCE_{kind} ([0-9]+(?:\.[0-9]|e[+-][0-9])[0-9]*)f?\n", text
    )
    return float(found)


def test_the_tolerance_fits_the_arithmetic(tmp_path: Path) -> None:
    """A right port in float, adding one by one, is within its tolerance, and far outside double's.

    The tolerance is of that order, not many times as wide, and is the one that float32 weights get.
    """
    text = header(STACK, tmp_path / "golden.h")
    assert "#define LSTM_TOLERANCE LSTM_TOLERANCE_FLOAT" in text.splitlines()
    weights, worst = read_weights(ROOT / STACK[-1]), 0.0
    for level, direction, own in weights.runs:
        place = f"lstm_layer{level}_{direction}_"
        arrays = {name: array.astype(np.float32) for name, array in own.arrays.items()}
        for t in range(3):
            h, x, c = (np.array(numbers(text, place + name)[t], np.float32)
                       for name in ("h_prev", "x", "c_prev"))  # fmt: skip
            z = {}
            for k in "figo":
                z[k] = arrays[f"b_{k}"].copy()
                for column, value in zip(arrays[f"W_{k}"].T, [*h, *x], strict=True):
                    z[k] += column * value  # one by one, in float32
            f, i, o = (1 / (1 + np.exp(-z[k])) for k in "fio")
            c = f * c + i * np.tanh(z["g"])
            made = {"c": c, "h": o * np.tanh(c)}
            assert all(each.dtype == np.float32 for each in made.values())
            off = [np.abs(each - np.array(numbers(text, place + name)[t])).max()
                   for name, each in made.items()]  # fmt: skip
            worst = max(worst, *off)
    assert tolerance(text, "DOUBLE") * 100 < worst <= tolerance(text, "FLOAT") < 100 * worst


def test_float32_is_float(tmp_path: Path) -> None:
    """float32 numbers are float literals, the shortest that read back, and the tolerance is wider."""
    text = header([*HAND, "--dtype", "float32"], tmp_path / "golden.h")
    assert "static const double" not in text
    assert "#define LSTM_TOLERANCE LSTM_TOLERANCE_FLOAT" in text.splitlines()
    assert 1e-7 < tolerance(text, "FLOAT") < 1e-4
    document = call(*HAND, "--dtype", "float32", "--json").json
    first = [
        [float(n) for n in re.findall(r"[\d.]+(?=f)", row)]
        for row in re.search(r"lstm_f\[2\]\[5\] = \{\n(.*?)\n\};", text, re.DOTALL)[1].splitlines()
    ]  # type: ignore[index] # it is there
    assert first == [step["f"] for step in document["steps"]]


def test_integers_have_their_types(tmp_path: Path) -> None:
    """8, 16 and 32 bits are int8_t, int16_t and int32_t; the formats are macros and comments."""
    text = header(
        [*HAND, "--fixed", "Q3.12,weights=Q3.4,sum=Q7.24,bias=Q3.9"], tmp_path / "golden.h"
    )
    for line in ("static const int8_t lstm_fixed_W_f[5][8] = {",
                 "static const int16_t lstm_fixed_f[2][5] = {",
                 "static const int16_t lstm_fixed_b_f[5] = {",
                 "static const int32_t lstm_fixed_z_f[2][5] = {",
                 "#define LSTM_FIXED_SUM_FRACTION_BITS 24", "#define LSTM_FIXED_WEIGHTS_BITS 8",
                 "/* Q3.12, forget gate: f = sigmoid(z_f) */", "/* Q3.4, W_f */"):  # fmt: skip
        assert line in text.splitlines(), line


def test_names_are_c_names() -> None:
    """Guards come from file names, identifiers from anything."""
    assert guard("golden-1.h") == "LSTM_GOLDEN_1_H_INCLUDED"
    assert identifier("a.b/ü[0]") == "a_b___0_"
    lines = list(array_lines("x", np.array([1.0, np.nan, -np.inf], dtype=np.float32)))
    assert lines == ["static const float x[3] = {", "  1.0f, NAN, -INFINITY", "};"]
    least = list(array_lines("y", np.array([[-(2**31), 7]], dtype=np.int32)))
    assert least == ["static const int32_t y[1][2] = {", "  {(-2147483647 - 1), 7},", "};"]


def test_stdout_has_a_guard_too() -> None:
    """Without -o the header goes to stdout, whole, and assumptions to stderr."""
    answer = call(*HAND, "-f", "c")
    assert "#ifndef LSTM_GOLDEN_H_INCLUDED\n" in answer.out
    assert answer.out.endswith("#endif /* LSTM_GOLDEN_H_INCLUDED */\n")
    assert "assumed: h0 not given: zeros" in answer.err
    assert "/* assumed: h0 not given: zeros */" in answer.out


def test_one_sample_goes_into_a_header(tmp_path: Path) -> None:
    """Several samples are refused, one is taken."""
    np.save(tmp_path / "x.npy", np.ones((2, 3, 2)))
    arguments = ["--x", f"@{tmp_path / 'x.npy'}", "-f", "c"]
    assert_refused(call(*arguments), 2, "c shows one")
    assert call(*arguments, "--sample", "1").code == 0


PORT = r"""
#include <math.h>
#include <stdio.h>
#include "golden.h"

static int64_t rounded(int64_t v, int down) { return (v + ((int64_t)1 << (down - 1))) >> down; }

static int32_t clamped(int64_t v, int bits) {
    int64_t top = (int64_t)1 << (bits - 1);
    return (int32_t)(v >= top ? top - 1 : v < -top ? -top : v);
}

#define H LSTM_HIDDEN_SIZE
#define I LSTM_INPUT_SIZE

/* One row of z: W has LSTM_FIXED_WEIGHTS_FRACTION_BITS, x and h have the same 12. */
#define ROW(k) \
    for (j = 0; j < H; j++) { \
        int64_t sum = (int64_t)lstm_fixed_b_##k[j] << LSTM_FIXED_WEIGHTS_FRACTION_BITS; \
        for (n = 0; n < H; n++) sum += (int64_t)lstm_fixed_W_##k[j][n] * lstm_fixed_h_prev[t][n]; \
        for (n = 0; n < I; n++) sum += (int64_t)lstm_fixed_W_##k[j][H + n] * lstm_fixed_x[t][n]; \
        sum = rounded(sum, 12 + LSTM_FIXED_WEIGHTS_FRACTION_BITS - LSTM_FIXED_SUM_FRACTION_BITS); \
        wrong += clamped(sum, LSTM_FIXED_SUM_BITS) != lstm_fixed_z_##k[t][j]; \
        seen++; \
    }

int main(void) {
    int t, j, n, wrong = 0, seen = 0;
    for (t = 0; t < LSTM_STEPS; t++) {
        ROW(f) ROW(i) ROW(g) ROW(o)
        for (j = 0; j < H; j++) {
            int64_t sum = (int64_t)lstm_fixed_f[t][j] * lstm_fixed_c_prev[t][j];
            sum += ((int64_t)lstm_fixed_i[t][j] * lstm_fixed_g[t][j]) >> 0;
            wrong += clamped(rounded(sum, 12), 16) != lstm_fixed_c[t][j];
            wrong += !(fabs(lstm_f[t][j] - 1 / (1 + exp(-lstm_z_f[t][j]))) <= LSTM_TOLERANCE);
            wrong += !(fabs(lstm_h[t][j] - lstm_o[t][j] * tanh(lstm_c[t][j])) <= LSTM_TOLERANCE);
            seen += 3;
        }
    }
    printf("%d of %d", wrong, seen);
    return wrong != 0;
}
"""


@pytest.mark.skipif(GCC is None, reason="there is no gcc")
def test_a_port_in_c_agrees_with_its_header(tmp_path: Path) -> None:
    """A port's shifts and sums, compiled, meet the integers; its floats meet the tolerance."""
    arguments = ["--x", "0.5,-1.25;2,0.125;-0.75,3", "--preset", "random", "--hidden-size", "4",
                 "--h", "0.1,-0.2,0.3,0.4", "--c", "0.9,-0.8,0.7,0.6"]  # fmt: skip
    header([*arguments, "--fixed", "Q3.12,weights=Q1.14,sum=Q4.11"], tmp_path / "golden.h")
    (tmp_path / "port.c").write_text(PORT)
    subprocess.run(
        ["gcc", "-std=c99", "-Wall", "-Werror", "-Wno-unused-const-variable", "port.c", "-lm", "-o",
         "port"], cwd=tmp_path, check=True, timeout=60,
    )  # fmt: skip
    done = subprocess.run(
        [tmp_path / "port"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "0 of 84")


def test_a_run_that_amplifies_roundings_has_wider_tolerances(tmp_path: Path) -> None:
    """Where two right ports drift apart, double's tolerance is wider too, and the header says why."""
    rng = np.random.default_rng(1)
    model = preset_model("random", LSTM, sizes={"I": 8, "H": 32})
    np.savez(tmp_path / "wild.npz", **{k: 40 * each for k, each in model.first.arrays.items()})
    np.save(tmp_path / "x.npy", rng.normal(size=(50, 8)))
    text = header(
        ["--x", f"@{tmp_path / 'x.npy'}", "--weights", tmp_path / "wild.npz"], tmp_path / "golden.h"
    )
    model, x = read_weights(tmp_path / "wild.npz"), np.load(tmp_path / "x.npy")
    h, c, off = np.zeros(32), np.zeros(32), 0.0
    z, own = {}, model.first.arrays
    for t in range(50):  # a port that adds one by one
        for k in "figo":
            z[k] = own[f"b_{k}"].copy()
            for column, value in zip(own[f"W_{k}"].T, [*h, *x[t]], strict=True):
                z[k] += column * value
        f, i, o = (1 / (1 + np.exp(-z[k])) for k in "fio")
        c = f * c + i * np.tanh(z["g"])
        h = o * np.tanh(c)
        off = max(off, np.abs(c - np.array(numbers(text, "lstm_c")[t])).max())
    assert 1e-11 < off <= tolerance(text, "DOUBLE") < tolerance(text, "FLOAT")
    assert "amplifies every rounding" in text
    assert "amplifies every rounding" not in header(HAND, tmp_path / "golden.h")
