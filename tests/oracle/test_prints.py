"""Arrays as NumPy, PyTorch, JAX and TensorFlow print them, live, read back by the vector reader."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from lstm_cli.base.arrays import Array
from lstm_cli.files.vectors import read_vector

pytestmark = pytest.mark.oracle
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

DRAW = np.random.default_rng(17).normal
ARRAYS: dict[str, Array] = {
    "one": DRAW(size=1),
    "a row": DRAW(size=5),
    "a wrapped row": DRAW(size=300),
    "rows": DRAW(size=(4, 3)),
    "wrapped rows": DRAW(size=(3, 40)),
    "a batch of one": DRAW(size=(1, 4, 3)),
    "small": DRAW(size=4) * 1e-7,
    "large and small": np.array([1e-8, 1.0, 1e5]),
    "whole": np.arange(6.0).reshape(2, 3),
}
MAKERS: dict[str, Callable[[Any, Array], Iterator[Any]]] = {
    "numpy": lambda np_, a: iter((a, a.astype("f4"), a.tolist())),
    "torch": lambda torch, a: iter(
        (
            torch.tensor(a),
            torch.nn.Parameter(torch.tensor(a)),
            torch.nn.Parameter(torch.tensor(a)) * 1,
        )
    ),
    "jax.numpy": lambda jnp, a: iter((jnp.array(a),)),
    "tensorflow": lambda tf, a: iter((tf.constant(a), tf.Variable(a))),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("name", MAKERS)
def test_each_print_reads_back(name: str, array: Array) -> None:
    """What a library prints of an array, alone or in a session, is read with its four digits."""
    pytest.importorskip(name)
    near = 6e-5 * max(1.0, float(abs(array).max()))
    rows = np.atleast_2d(array[0] if array.ndim == 3 else array)
    for made in MAKERS[name](import_module(name), array):
        for text in (
            repr(made),
            str(made),
            f"Out[3]: {made!r}",
            f">>> h\n{made!r}",
            f"h = {made!r}",
        ):
            read = read_vector(text, "--x", told=[])
            np.testing.assert_allclose(read, rows, rtol=6e-5, atol=near, err_msg=text[:200])
