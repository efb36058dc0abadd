"""The compiled engine against the table and the second witness, and what it will not load."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
from itertools import product
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from lstm_cli.base.errors import InputError
from lstm_cli.cell.cells import Cell, parse_table
from lstm_cli.cell.weights import LstmWeights, Model
from lstm_cli.engine import numba_engine as compiled
from lstm_cli.engine import numba_source as compiled_source
from lstm_cli.engine import products
from lstm_cli.engine.choice import choose_engine
from lstm_cli.engine.numba_engine import FormName, form_for, run_compiled
from lstm_cli.engine.numba_source import source_of
from lstm_cli.engine.plan import plan_of, program_of
from lstm_cli.engine.run import run
from tests.cases import OWN_TABLE, WITNESS_SPECS, spec_cell, witness_case
from tests.conftest import random_arrays, random_inputs, random_weights

pytest.importorskip("numba")

FORMS: list[FormName] = ["units", "samples"]
# Names that Python, the generated text and numba have a use for, and that a table may use too.
HOSTILE = """
exec = W_import @ [h_prev, x]
v0 = sigmoid(exec + b_exec)
r0 = tanh(v0 * (U_x @ x))
import_ = r0 + 0.25 * c_prev
number = 2 * import_
c = import_
h = c
"""
# A state that is an input, a product, or the other state, with nothing between them.
STILL = "c = W_c @ x\nh = c"
# Gates without a bound square the state again and again: after nine steps it is past 1e60 (float32
# has overflowed), and any two roundings, the table's among them, are 1e-13 from the exact value.
UNBOUNDED = {"activations-affine": 3, "activations-plain": 3}


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Keep compiled code in a folder of the test's own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("NUMBA_CACHE_DIR", raising=False)
    yield
    patch.undo()


def own_weights(text: str, **more: int) -> LstmWeights:
    """Return random weights of a table."""
    cell = Cell("own", "", parse_table(text))
    sizes = {"I": 2, "H": 3, "P": 3, **more}
    return LstmWeights(cell, random_arrays(cell, sizes, seed=9))


def agrees(weights: LstmWeights, form: FormName, samples: int, dtype: str, steps: int = 9) -> None:
    """Compare every symbol of a run with the table's."""
    x, h, c = random_inputs(weights, steps, (samples,))
    table = run(Model.single(weights), x, h, c, engine="table").layers[0].values
    found = run_compiled(weights, x, h, c, np.dtype(dtype), form)
    assert list(found) == list(table)
    for symbol, expected in table.items():
        assert found[symbol].dtype == np.dtype(dtype)
        assert found[symbol].shape == expected.shape
        tolerance = 3e-6 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(found[symbol], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("samples", [1, 11])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.few(2)
def test_every_value_of_the_lstm_is_the_tables(dtype: str, form: FormName, samples: int) -> None:
    """All symbols of a run agree with the table, in each form, for one sample and many."""
    agrees(random_weights(spec_cell("lstm"), 3, 5), form, samples, dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [(1, 1), (3, 8), (2, 9), (7, 40)])
def test_sizes_that_fill_a_register_and_that_do_not(sizes: tuple[int, int], form: FormName) -> None:
    """Rows narrower, as wide, and a little wider than a register keep clear of each other."""
    agrees(random_weights(spec_cell("lstm"), *sizes), form, 3, "float64")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("text", "more"), [(OWN_TABLE, {"rows of U_x": 2}), (HOSTILE, {}), (STILL, {})]
)
@pytest.mark.few(1)
def test_a_table_of_ones_own(text: str, more: dict[str, int], form: FormName) -> None:
    """Joins, constants, products in the middle and names that Python uses itself come out right."""
    agrees(own_weights(text, **more), form, 5, "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_of_any_size(dtype: str) -> None:
    """Every tile, panels that are not full, and one row or none agree with NumPy's product."""
    module: Any = compiled._module(program_of(plan_of(own_weights(STILL))), dtype)
    rng, wide = np.random.default_rng(4), products.width(dtype)
    for rows, inner, columns in product((1, 2, 3, 5, 6, 7, 13), (1, 3, 8), (1, 9, 33, 100)):
        a, b = (rng.normal(size=(n, inner)).astype(dtype) for n in (rows, columns))
        panels = -(-columns // wide)
        out = np.full((rows, panels * wide), np.nan, dtype)
        module.multiply(
            rows, inner, panels, a.ravel(), 0, inner, products.packed(b, dtype), 0, wide, inner * wide,
            out.reshape(-1), 0, panels * wide,
        )  # fmt: skip
        tolerance = 1e-5 if dtype == "float32" else 1e-14
        np.testing.assert_allclose(out[:, :columns], a @ b.T, rtol=tolerance, atol=tolerance)
        assert (out[:, columns:] == 0).all()


@pytest.mark.parametrize("name", ["lstm", "peephole+projection"])
@pytest.mark.few(1)
def test_the_second_witness_agrees(name: str) -> None:
    """The numbers are those of an implementation that shares no code with this one."""
    case = witness_case(name)
    weights = LstmWeights(case.cell, case.layers[0]["forward"])
    assert case.h is not None
    assert case.c is not None
    given = (case.x[None], case.h[None], case.c[None])
    found = run_compiled(weights, *given, np.dtype("float64"))
    for gate in set("figo") & set(found):
        np.testing.assert_allclose(found[gate][0], case.expected[gate], atol=1e-13)
    np.testing.assert_allclose(found["h"][0], case.expected["output"], atol=1e-13)
    np.testing.assert_allclose(found["c"][0, -1], case.expected["c"], atol=1e-13)


@pytest.mark.full
@pytest.mark.parametrize("name", WITNESS_SPECS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_cell(name: str, dtype: str) -> None:
    """Each cell of the zoo agrees with the table in each form."""
    for form in FORMS:
        agrees(random_weights(spec_cell(name), 3, 5, 2), form, 9, dtype, UNBOUNDED.get(name, 9))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.few(1)
def test_steps_and_samples_in_pieces(form: FormName, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for one step or a few samples at a time changes nothing."""
    monkeypatch.setattr(compiled_source, "SAMPLES_BLOCK_BYTES", 1)
    monkeypatch.setattr(compiled_source, "CHUNK_BYTES", 700)
    monkeypatch.setattr(compiled_source, "UNITS_BLOCK_BYTES", 700)
    for samples in (1, 2, 7, 15, 40):
        agrees(random_weights(spec_cell("lstm"), 3, 5), form, samples, "float64")
        agrees(own_weights(OWN_TABLE, **{"rows of U_x": 2}), form, samples, "float64")


@pytest.mark.parametrize("form", FORMS)
def test_threads_change_nothing(form: FormName, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples shared out among three threads give the same bits as one thread does."""
    weights = random_weights(spec_cell("lstm"), 3, 5)
    given = (*random_inputs(weights, 4, (50,)), np.dtype("float32"), form)
    monkeypatch.setattr(compiled, "THREADED", 0)
    for name in ("SAMPLES_BLOCK_BYTES", "UNITS_BLOCK_BYTES"):
        monkeypatch.setattr(compiled_source, name, 2**12)
    found = []
    for count in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        found.append(run_compiled(weights, *given))
    assert compiled.threads() == 3
    for symbol, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][symbol])


def test_what_was_made_ready_goes_with_its_weights() -> None:
    """Weights that nobody has any more leave nothing behind."""
    weights = random_weights(spec_cell("lstm"), 3, 5)
    run_compiled(weights, *random_inputs(weights, 2, (1,)), np.dtype("float64"))
    gone = ref(weights)
    assert weights in compiled._ready
    del weights
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("form", FORMS)
def test_infinite_and_missing_numbers_stand_where_the_table_has_them(form: FormName) -> None:
    """An inf or a nan in x shows in the same places, and in no neighbour's row."""
    weights = random_weights(spec_cell("lstm"), 3, 5)
    x, h, c = random_inputs(weights, 6, (4,))
    x[1, 2, 0], x[2, 3, 1], x[3, 1, 2] = np.inf, np.nan, 1e300
    table = run(Model.single(weights), x, h, c, engine="table").layers[0].values
    found = run_compiled(weights, x, h, c, np.dtype("float64"), form)
    for symbol, expected in table.items():
        np.testing.assert_allclose(found[symbol], expected, rtol=1e-12, atol=1e-13)


def test_the_form_follows_the_sizes() -> None:
    """Units stand side by side, but for many samples of few units."""
    assert [form_for(5, n) for n in (1, 20, 4096)] == ["units", "units", "samples"]
    assert [form_for(64, n) for n in (1, 4096)] == ["units", "units"]


def test_no_text_of_a_table_reaches_the_source() -> None:
    """The generated text has indices and our own names: none of the table's, and no strings."""
    source = source_of(program_of(plan_of(own_weights(HOSTILE))), "float64")
    for name in ("exec", "import", "W_", "U_x", "c_prev", "h_prev"):
        assert name not in source


def test_without_numba_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is named by the line that installs it."""
    monkeypatch.setattr("lstm_cli.engine.choice.numba_available", lambda: False)
    with pytest.raises(InputError) as error:
        choose_engine("numba", 1, np.float64)
    assert error.value.hint == "pip install 'lstm-cli[fast]', or engine='numpy'"


def test_a_planted_text_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with our name and another content is written over, never run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = source_of(program_of(plan_of(own_weights(STILL))), "float64")
    folder = compiled.cache_folder()
    assert folder is not None
    planted = folder / f"{compiled.module_name(source)}.py"
    planted.write_text("raise SystemExit('planted')")
    assert hasattr(compiled.load(source, "float64"), "units")
    assert planted.read_text() == source


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes of files are Unix's")
def test_folders_that_others_can_write_are_refused() -> None:
    """World-writable, a link, or below a folder open to all: nothing is cached there."""
    with tempfile.TemporaryDirectory() as made:
        top = Path(made)
        inner = top / "open" / "inner"
        inner.mkdir(parents=True)
        for folder in (top, top / "open", inner):
            folder.chmod(0o755)
        assert compiled.is_safe(inner)
        (top / "open").chmod(0o777)
        assert not compiled.is_safe(inner)
        (top / "open").chmod(0o755)
        (top / "link").symlink_to(inner)
        assert not compiled.is_safe(top / "link")
        inner.chmod(0o777)
        assert not compiled.is_safe(inner)
        inner.chmod(0o755)
        (inner / "code.nbi").touch()
        (inner / "code.nbi").chmod(0o666)
        assert not compiled.is_safe(inner)
        top.chmod(0o700)  # nobody else gets as far as the file
        assert compiled.is_safe(inner)
        assert not compiled.is_safe(top / "missing")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes of files are Unix's")
def test_what_is_a_strangers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, or a file in it, that belongs to somebody else is not trusted."""
    folder = tmp_path / "lstm-step"
    folder.mkdir(mode=0o700)
    (folder / "code.nbi").write_bytes(b"machine code")
    assert compiled.is_safe(folder)
    monkeypatch.setattr(os, "getuid", lambda: os.stat(folder).st_uid + 1)
    assert not compiled.is_safe(folder)


def test_an_unsafe_folder_means_compiling_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache is not safe nothing is written there, and the answer is the same."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(shared / "numba"))
    assert compiled.cache_folder() is None
    compiled._module.cache_clear()
    agrees(own_weights(STILL), "units", 2, "float64")
    compiled._module.cache_clear()
    assert not list(shared.rglob("*.nbi"))


def test_a_file_that_another_process_renames_is_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code is put in its place by a rename while others look through the folder."""
    (tmp_path / "gone.tmp").touch()
    (tmp_path / "kept.nbc").touch()
    with os.scandir(tmp_path) as found:
        listed = list(found)
    monkeypatch.setattr(os, "scandir", lambda folder: contextlib.nullcontext(listed))
    (tmp_path / "gone.tmp").unlink()
    assert compiled.is_safe(tmp_path)
