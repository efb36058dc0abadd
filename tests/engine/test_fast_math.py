"""exp, sigmoid, tanh and their like against mpmath, in ULP of the exact value."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from lstm_cli.cell.equations import FUNCTIONS
from lstm_cli.engine.fast_math import FORMATS, MEASURED_ULP, functions
from lstm_cli.engine.plan import ELEMENTWISE

numba = pytest.importorskip("numba")

EXACT = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "tanh": mpmath.tanh,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "softplus": lambda z: max(z, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(z))),
}


def points(dtype: str) -> np.ndarray:
    """Return a few hundred arguments of each region: near 0, usual, large, past normal results."""
    generator = np.random.default_rng(20)
    low, high = FORMATS[dtype].low, FORMATS[dtype].high
    regions = [
        generator.uniform(-1, 1, 300),
        generator.uniform(-9, 9, 300),
        generator.uniform(-45, 45, 150),
        generator.uniform(0.99 * low, 0.99 * high, 200),
        generator.uniform(low, 0.95 * low, 150),
        generator.choice([-1.0, 1.0], 200) * 2.0 ** generator.uniform(-60, 4, 200),
    ]
    return generator.permutation(np.concatenate(regions)).astype(dtype)


def applied(name: str, z: np.ndarray) -> np.ndarray:
    """Return a function of an array, computed in whole registers as in a kernel."""
    jit = numba.njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
    code = functions(z.dtype.name, jit)[name]

    @numba.njit
    def over(z: np.ndarray, out: np.ndarray) -> None:
        for j in range(len(z)):
            out[j] = code(z[j])

    out = np.empty_like(z)
    over(z, out)
    return out


def ulps(got: np.floating, exact: mpmath.mpf) -> float:
    """Return the error in units of the last place of the exact value."""
    form = np.finfo(type(got))
    if exact == 0:
        exponent = form.minexp
    else:
        exponent = max(int(mpmath.floor(mpmath.log(abs(exact), 2))), form.minexp)
    return float(abs(mpmath.mpf(float(got)) - exact) / mpmath.mpf(2) ** (exponent - form.nmant))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.few(3)
def test_errors_are_as_measured(name: str, dtype: str) -> None:
    """No result is further from the exact one than the module says, and that is below 4 ULP."""
    z = points(dtype)
    with mpmath.workprec(240):
        errors = [
            ulps(got, EXACT[name](mpmath.mpf(float(each))))
            for each, got in zip(z, applied(name, z), strict=True)
        ]
    assert max(errors) <= MEASURED_ULP[name][dtype == "float32"] < 4


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.few(3)
def test_limits(name: str, dtype: str) -> None:
    """Infinite and huge arguments give the limits, nan gives nan, and zeros keep their sign."""
    z = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
    expected = {
        "exp": [0, 0, 1, 1, np.inf, np.inf, np.nan],
        "expm1": [-1, -1, -0.0, 0, np.inf, np.inf, np.nan],
        "tanh": [-1, -1, -0.0, 0, 1, 1, np.nan],
        "sigmoid": [0, 0, 0.5, 0.5, 1, 1, np.nan],
        "softplus": [0, 0, np.log(2), np.log(2), z[4], np.inf, np.nan],
    }[name]
    got = applied(name, z)
    np.testing.assert_allclose(got, expected, rtol=2e-7 if dtype == "float32" else 1e-9)
    if name in ("tanh", "expm1"):
        assert np.signbit(got[2])
        assert not np.signbit(got[3])


@pytest.mark.parametrize("name", ["abs", "min", "max", "heaviside"])
def test_comparisons_are_numpys(name: str) -> None:
    """What only compares answers as the table's own function, nan among its arguments too."""
    values = [-2.5, -0.5, 0.0, 0.5, 3.0, np.inf, -np.inf, np.nan]
    code = functions("float64", lambda function: function)[name]
    compute = FUNCTIONS[name].compute
    assert compute is not None
    for a in values:
        for b in values if name in ("min", "max") else [None]:
            given = (a,) if b is None else (a, b)
            assert np.array_equal(code(*given), compute(*given), equal_nan=True), given


def test_every_function_of_a_plan_is_there() -> None:
    """A plan may hold any of its functions; those that are no operators have code here."""
    operators = {"+", "-", "*", "/", "neg"}
    assert set(functions("float32", lambda function: function)) == set(ELEMENTWISE) - operators
