"""Register-tiled matrix products: the innermost loop of the compiled engine.

BLAS repacks both matrices of a product on every call; here the weights are packed once, and a step
calls nothing. A *tile* of the result, some rows by some panels of columns, stays in registers
while the loop runs over the whole inner dimension (Goto & van de Geijn,
"Anatomy of High-Performance Matrix Multiplication", 2008, section 5, without the blocking for
larger matrices: a panel of a cell's weights fits the cache as it is).

The loops over tiles are source text (`MULTIPLY`), compiled together with the cell's loops; a tile
is built from LLVM instructions, since a loop in Python may not keep its sums in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array

# Rows and panels of the available tiles: enough sums to hide the latency of an addition, and few
# enough for sixteen registers.
TILES = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1), (5, 1), (6, 1))
# SIMD vectors per panel.
VECTORS = 2

# out = rows of a · panels of b: `a[row, k]` is at a0 + row · lda + k, `b[k, panel]` at
# b0 + panel · between + k · ldb, and `out[row, panel]` at c0 + row · ldc + panel · WIDTH.
MULTIPLY = """
@outer
def multiply(rows, inner, panels, a, a0, lda, b, b0, ldb, between, c, c0, ldc):
    rows, inner, panels = U(rows), U(inner), U(panels)
    a0, lda, b0, ldb, between, c0, ldc = U(a0), U(lda), U(b0), U(ldb), U(between), U(c0), U(ldc)
    panel = U0
    if rows == U1:
        while panels - panel >= U4:
            q, o = b0 + panel * between, c0 + panel * WIDTH
            tile_1_4(inner, a, a0, lda, b, q, ldb, between, c, o, ldc)
            panel += U4
        if panels - panel >= U2:
            q, o = b0 + panel * between, c0 + panel * WIDTH
            tile_1_2(inner, a, a0, lda, b, q, ldb, between, c, o, ldc)
            panel += U2
    if rows == U2:
        while panels - panel >= U2:
            q, o = b0 + panel * between, c0 + panel * WIDTH
            tile_2_2(inner, a, a0, lda, b, q, ldb, between, c, o, ldc)
            panel += U2
    turns = (rows + U5) // U6
    while panel < panels:
        q, p, o = b0 + panel * between, a0, c0 + panel * WIDTH
        for turn in range(turns):
            height = (rows + turn) // turns
            if height == U6:
                tile_6_1(inner, a, p, lda, b, q, ldb, between, c, o, ldc)
            elif height == U5:
                tile_5_1(inner, a, p, lda, b, q, ldb, between, c, o, ldc)
            elif height == U4:
                tile_4_1(inner, a, p, lda, b, q, ldb, between, c, o, ldc)
            elif height == U3:
                tile_3_1(inner, a, p, lda, b, q, ldb, between, c, o, ldc)
            elif height == U2:
                tile_2_1(inner, a, p, lda, b, q, ldb, between, c, o, ldc)
            else:
                tile_1_1(inner, a, p, lda, b, q, ldb, between, c, o, ldc)
            p += height * lda
            o += height * ldc
        panel += U1

"""


@lru_cache(maxsize=2)
def width(dtype: str) -> int:
    """Columns of a panel on this machine: `VECTORS` of the processor's SIMD vectors."""
    from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]

    wide = get_host_cpu_features().get("avx512f", False)
    return VECTORS * (64 if wide else 32) // np.dtype(dtype).itemsize


def rounded_up(count: int, turn: int) -> int:
    """Round up to a multiple of `turn`."""
    return -(-count // turn) * turn


def packed(matrix: Array, dtype: str) -> Array:
    """Pack the transpose of a matrix into panels, `(panels · columns · width,)`.

    Args:
        matrix: `(rows, columns)`; the last panel is padded with zeros.
        dtype: "float64" or "float32".
    """
    rows, columns = matrix.shape
    wide = width(dtype)
    whole = np.zeros((rounded_up(rows, wide), columns), dtype)
    whole[:rows] = matrix
    return whole.reshape(-1, wide, columns).transpose(0, 2, 1).ravel()


def tiles(dtype: str) -> dict[str, Callable[..., None]]:
    """Return the code of each tile by name; `tile_6_1` has six rows and one panel."""
    return {f"tile_{rows}_{panels}": _tile(rows, panels, dtype) for rows, panels in TILES}


def _tile(rows: int, panels: int, dtype: str) -> Callable[..., None]:
    from numba import types
    from numba.extending import intrinsic

    place = types.uint64

    def tile(
        typing: Any, inner: Any, a: Any, a0: Any, lda: Any, b: Any, b0: Any, ldb: Any,
        between: Any, c: Any, c0: Any, ldc: Any,
    ) -> Any:  # fmt: skip
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            given = list(given)
            for position in (1, 4, 8):
                array = context.make_array(signature.args[position])(
                    context, builder, given[position]
                )
                given[position] = array.data
            _write_tile(builder, rows, panels, dtype, *given)
            return context.get_dummy_value()

        whole = types.void(place, a, place, place, b, place, place, place, c, place, place)
        return whole, code

    made: Callable[..., None] = intrinsic(tile)
    return made


def _write_tile(
    builder: Any, rows: int, panels: int, dtype: str, inner: Any, a: Any, a0: Any, lda: Any,
    b: Any, b0: Any, ldb: Any, between: Any, c: Any, c0: Any, ldc: Any,
) -> None:  # fmt: skip
    """Emit a tile's instructions: its sums, a loop over the inner dimension, its stores."""
    from llvmlite import ir  # type: ignore[import-untyped]

    number = ir.FloatType() if dtype == "float32" else ir.DoubleType()
    size = np.dtype(dtype).itemsize
    lanes = width(dtype) // VECTORS
    vector, word = ir.VectorType(number, lanes), inner.type
    nowhere = ir.Constant(vector, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

    def times(count: int, stride: Any) -> Any:
        return builder.mul(stride, word(count))

    def vectors(base: Any, stride: Any) -> Iterator[Any]:
        # The address of each vector of all panels.
        for panel in range(panels):
            for each in range(VECTORS):
                place = builder.add(times(panel, stride), word(each * lanes))
                yield builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

    lines = [builder.gep(a, [builder.add(a0, times(row, lda))]) for row in range(rows)]
    start = builder.gep(b, [b0])
    before = builder.block
    head, body, done = (builder.append_basic_block(f"tile.{name}") for name in ("k", "body", "out"))
    builder.branch(head)

    builder.position_at_end(head)
    k, way = builder.phi(word), builder.phi(word)
    sums = [[builder.phi(vector) for _ in range(panels * VECTORS)] for _ in range(rows)]
    builder.cbranch(builder.icmp_unsigned("<", k, inner), body, done)

    builder.position_at_end(body)
    columns = [
        builder.load(place, align=size) for place in vectors(builder.gep(start, [way]), between)
    ]
    totals: list[list[Any]] = []
    for line in lines:
        one = builder.load(builder.gep(line, [k]))
        first = builder.insert_element(nowhere, one, ir.IntType(32)(0))
        factor = builder.shuffle_vector(first, nowhere, everywhere)
        # A product and its addition may be fused (FMA), as in the cell's own loops.
        products = [builder.fmul(factor, column, flags=("contract",)) for column in columns]
        own = zip(sums[len(totals)], products, strict=True)
        totals.append([builder.fadd(old, new, flags=("contract",)) for old, new in own])
    steps = [(k, builder.add(k, word(1)), word(0)), (way, builder.add(way, ldb), word(0))]
    zeros = ir.Constant(vector, [0.0] * lanes)
    steps += [
        (old, new, zeros)
        for olds, news in zip(sums, totals, strict=True)
        for old, new in zip(olds, news, strict=True)
    ]
    for phi, later, first in steps:
        phi.add_incoming(first, before)
        phi.add_incoming(later, body)
    builder.branch(head)

    builder.position_at_end(done)
    beside = word(VECTORS * lanes)
    for row in range(rows):
        line = builder.gep(c, [builder.add(c0, times(row, ldc))])
        for total, place in zip(sums[row], vectors(line, beside), strict=True):
            builder.store(total, place, align=size)
