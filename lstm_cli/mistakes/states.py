"""Mistakes outside the equations: states, sequences, directions and arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.numbers import shortest
from lstm_cli.cell.traits import Traits, build_cell, traits_of
from lstm_cli.engine.agreement import TYPES
from lstm_cli.engine.batched_variants import Rounding
from lstm_cli.engine.run import rounded
from lstm_cli.mistakes.variant_run import (
    Cache,
    Mistake,
    Rounded,
    VariantRun,
    edits,
    resequenced,
    restated,
)
from lstm_cli.mistakes.weights import reread

_ZERO: Mapping[str, str] = {"h_prev": "0 * h_0", "c_prev": "0 * c_0"}
_GIVEN: Mapping[str, str] = {"h_prev": "h_0", "c_prev": "c_0"}
_CROSSED: Mapping[str, str] = {"h_prev": "c_0", "c_prev": "h_0"}


def _pairs(variant: VariantRun) -> list[tuple[int, int]] | None:
    """Return (forward, backward) run indices of each layer, or None if a direction is missing."""
    directions = [direction for _, direction in variant.layout]
    if directions != ["forward", "backward"] * (len(directions) // 2):
        return None
    return [(n, n + 1) for n in range(0, len(directions), 2)]


def _directions_exchanged(variant: VariantRun, cache: Cache) -> VariantRun | None:
    pairs = _pairs(variant)
    if pairs is None:
        return None
    order = [n for forward, backward in pairs for n in (backward, forward)]
    return replace(variant, weights=tuple(variant.weights[n] for n in order),
                   cells=tuple(variant.cells[n] for n in order))  # fmt: skip


def _not_turned_back(variant: VariantRun, cache: Cache) -> VariantRun | None:
    backward = any(direction == "backward" for _, direction in variant.layout)
    return replace(variant, turned_back=False) if backward else None


def _states_by_direction(variant: VariantRun, cache: Cache) -> VariantRun | None:
    """Return the variant whose rows of states, in (direction, layer) order, are misread."""
    pairs = _pairs(variant)
    if pairs is None or len(pairs) < 2:
        return None
    order = [n for pair in zip(*pairs, strict=True) for n in pair]
    return replace(
        variant, h=tuple(variant.h[n] for n in order), c=tuple(variant.c[n] for n in order)
    )


def round_bfloat16(values: Array) -> Array:
    """Round values to bfloat16 (8 of float32's 24 significand bits), returned as float64."""
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    even = ((narrow >> 16) & 1) + 0x7FFF
    return ((narrow + even) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def rounding_to_decimals(decimals: int) -> Mistake:
    """Return the mistake of rounding every intermediate number to `decimals` decimals."""
    return Mistake(
        "rounded-on-the-way", f"every intermediate number is rounded to {decimals} decimals",
        Rounded(lambda values: np.round(values, decimals), inputs=False),
        "The last decimals of c and h are off by a unit or two.",
        "Intermediate results are written down and typed in again.",
        "carry more decimals than required, and round at the end", "homework",
        formula=f"every value rounded to {decimals} decimals", kind="numbers",
    )  # fmt: skip


# The rows for the arithmetic of a type, widest first: right numbers, less exact.
NARROW_TYPES = ("float32", "float16", "bfloat16")


def _narrow(
    dtype: str, rounding: Rounding, error: str, cause: str, tolerance: str, source: str, **more: Any
) -> Mistake:
    return Mistake(
        dtype, f"computed in {dtype}", Rounded(rounding),
        f"A relative error of about {error}, growing with the steps.", cause,
        f"compare with a tolerance of {tolerance}", source, kind="numbers", certain=False,
        formula=f"every value rounded to {TYPES[dtype][0]} bits", **more,
    )  # fmt: skip


DIGITS_CUT = Mistake(
    "digits-cut", "digits are truncated instead of rounded",
    lambda variant, cache: None,
    "The last digit is one too small in about half of the numbers.",
    "Numbers are copied from a screen as far as they fit.",
    "nothing to fix: the numbers are right to these digits",
    "homework", formula="0.3696 written as 0.369", kind="numbers", tier=2,
)  # fmt: skip


def _exchange_clips(into: str, variant: VariantRun, cache: Cache) -> VariantRun | None:
    """Remove the clips or apply them elsewhere; `into` is "", "cell_clip" or "clip"."""
    cells = []
    for cell in variant.cells:
        traits = traits_of(cell) or Traits()
        moved = {"cell_clip": traits.clip, "clip": traits.cell_clip}
        limit = moved.get(into, traits.clip or traits.cell_clip)
        if not limit:
            return None
        to_clip, to_cell = (limit * (into == name) for name in ("clip", "cell_clip"))
        cells.append(build_cell(replace(traits, clip=to_clip, cell_clip=to_cell)))
    return replace(variant, cells=tuple(cells))


def _clip_c_too(variant: VariantRun, cache: Cache) -> VariantRun | None:
    """Clip c before its activation as well, one possible reading of the ONNX text."""
    (limit, *more) = {(traits_of(cell) or Traits()).clip for cell in variant.cells}
    if more or not limit:
        return None
    most = shortest(limit)
    return edits(("h", "act(c)", f"act(clip(c, -{most}, {most}))"))(variant, cache)


ROWS = (
    Mistake(
        "states-zeroed", "both states are zero at every step",
        restated(_ZERO, _ZERO),
        "From a zero state, the first step is right and all later ones differ.",
        "The states are not fed back: every call starts afresh.",
        "pass h and c on to the next call",
        "onnxruntime issue 1659; openvino issue 735", numbers=(59,), kind="states",
        formula="h_prev = c_prev = 0 at every step",
    ),
    Mistake(
        "states-restarted", "every step starts from the initial states",
        restated(_GIVEN, _GIVEN),
        "The first step is right and all later ones differ.",
        "The initial states are passed to every call.", "pass h and c on to the next call",
        "onnxruntime issue 1659", numbers=(59,), kind="states",
        formula="h_prev = h_0, c_prev = c_0 at every step",
    ),
    Mistake(
        "h-not-carried", "h is not passed on to the next step",
        restated({}, {"h_prev": "0 * h"}),
        "The first step is right and all later ones differ.", "Only c is fed back.",
        "pass on both states", "onnxruntime issue 1659", numbers=(58,), kind="states",
        formula="h_prev = 0 after the first step",
    ),
    Mistake(
        "c-not-carried", "c is not passed on to the next step",
        restated({}, {"c_prev": "0 * c"}),
        "The first step is right and all later ones differ.", "Only h is fed back, as in an RNN.",
        "pass on both states", "keras-team/keras issue 10231", kind="states",
        formula="c_prev = 0 after the first step",
    ),
    Mistake(
        "initial-state-ignored", "the given h and c are ignored: the run starts from zeros",
        restated(_ZERO, {}),
        "Never visible from a zero state. The first step differs most, later ones less and less.",
        "A converter drops the initial states.", "pass h and c, or start from zeros on both sides",
        "onnx/onnx-tensorflow issue 408; apple/coremltools issue 263", numbers=(60,),
        kind="states", formula="h_0 = c_0 = 0",
    ),
    *(
        Mistake(
            f"initial-{lost}-ignored", f"the given {lost} is ignored",
            restated({f"{lost}_prev": f"0 * {lost}_0"}, {}),
            "Never visible from a zero state.", f"Only {kept} is passed.", f"pass {lost} too",
            "onnx/onnx-tensorflow issue 408", numbers=(60,), kind="states", formula=f"{lost}_0 = 0",
        )
        for lost, kept in ("hc", "ch")
    ),
    Mistake(
        "states-exchanged", "h and c are swapped at the start",
        restated(_CROSSED, {}),
        "Never visible from a zero state.",
        "PyTorch, Keras and Haiku use (h, c); TensorFlow 1, Flax, Chainer and DyNet use (c, h).",
        "swap them", "tracel-ai/burn pull 5234", numbers=(61,), kind="states",
        formula="h_0 = c_0, c_0 = h_0",
    ),
    Mistake(
        "states-exchanged-each-step", "h and c are swapped after every step",
        restated({}, {"h_prev": "c", "c_prev": "h"}),
        "The first step is right and all later ones differ.",
        "The pair is returned as (c, h) and used as (h, c).", "swap them",
        "tracel-ai/burn pull 5234", kind="states", formula="h_prev = c, c_prev = h",
    ),
    Mistake(
        "states-exchanged-always", "h and c are swapped at the start and after every step",
        restated(_CROSSED, {"h_prev": "c", "c_prev": "h"}),
        "From a zero state, the first step is right and all later ones differ.",
        "The pair is (c, h) on one side and (h, c) on the other.", "swap them",
        "tracel-ai/burn pull 5234", kind="states", formula="h_prev = c, c_prev = h",
    ),
    Mistake(
        "time-reversed", "the sequence is processed backwards",
        partial(resequenced, lambda x: x[::-1]),
        "The final states differ, and so does every output.",
        "go_backwards, a backward layer on its own, or frames sorted the other way.",
        "reverse x or the direction", "sbillburg/CRNN-with-STN issue 12", numbers=(62,),
        kind="sequence", formula="x_t = x_{T+1-t}",
    ),
    Mistake(
        "first-input-skipped", "every step sees the next step's input",
        partial(resequenced, lambda x: np.vstack([x[1:], x[-1:]])),
        "The first output already uses x_2.", "A decoder feeds x_{t+1}; an index is off by one.",
        "start at the first input", "dynamic decoders", numbers=(63,), kind="sequence",
        formula="x_t = x_{t+1}, the last repeated",
    ),
    Mistake(
        "previous-input", "every step sees the previous step's input",
        partial(resequenced, lambda x: np.vstack([0 * x[:1], x[:-1]])),
        "The first step sees zeros.", "A buffer is filled after the step instead of before it.",
        "fill the input buffer before the step", "embedded ports", numbers=(63,), kind="sequence",
        formula="x_t = x_{t-1}, the first 0",
    ),
    Mistake(
        "time-feature-axes", "the time and feature axes of x are swapped in memory",
        partial(resequenced, reread),
        "All the numbers are present, but in other places.", "(I, T) read as (T, I) by reshape.",
        "transpose x", "discuss.pytorch.org 4343", numbers=(64,), kind="sequence",
        formula="x = reshape(xᵀ)",
    ),
    Mistake(
        "directions-exchanged", "the forward and backward weights are swapped",
        _directions_exchanged,
        "The shapes still match.", "_reverse tensors are assigned to the forward layer.",
        "swap them", "NVIDIA/TensorRT issue 2492", numbers=(72,), kind="sequence",
        formula="W = W_reverse",
    ),
    Mistake(
        "backward-not-reversed-back",
        "the backward direction's outputs are left in reversed time order",
        _not_turned_back,
        "Its final state is right, but its sequence is reversed.",
        "Keras's go_backwards does not reverse the output again; Bidirectional does.",
        "reverse the backward output along time", "shyamupa/snli-entailment issue 2",
        numbers=(62,), kind="sequence", formula="h_t of backward = h_{T+1-t}",
    ),
    Mistake(
        "states-by-direction", "rows of states are ordered by direction first, then by layer",
        _states_by_direction,
        "The shapes still match, and nothing shows from a zero state.",
        "(layers, directions) reshaped as (directions, layers).",
        "order the rows as layer 0 forward, layer 0 backward, layer 1 forward, …",
        "pytorch pull 22850", numbers=(73,), kind="states",
        formula="row [0, 2, 1, 3] of h_0 and c_0",
    ),
    _narrow("float32", partial(rounded, dtype=np.dtype(np.float32)), "1e-7",
            "The frameworks' default type.", "1e-5, or run with --dtype float32",
            "keras-team/keras issue 19254", numbers=(70,), options="--dtype float32"),
    _narrow("float16", partial(rounded, dtype=np.dtype(np.float16)), "5e-4",
            "Half precision (GPU, phone).", "1e-2, or compute in float32",
            "onnx float16 conversion"),
    _narrow("bfloat16", round_bfloat16, "4e-3", "Mixed precision on TPU or GPU.",
            "5e-2, or compute in float32", "mixed precision"),
    Mistake(
        "clips-ignored", "the model's clip is not applied",
        partial(_exchange_clips, ""),
        "No effect until a value exceeds the limit.",
        "Such weights are loaded into a target without clips (PyTorch, Keras).",
        "apply the clip", "Core ML, ONNX and TensorFlow Lite clip; others do not", numbers=(68,),
        kind="numbers", formula="no clip",
    ),
    Mistake(
        "cell-clip-for-clip", "the cell state is clipped instead of the pre-activations",
        partial(_exchange_clips, "cell_clip"),
        "No effect until a value exceeds the limit.",
        "'clip' means pre-activations in ONNX, the cell state in TensorFlow, Core ML and burn.",
        "clip what the model's framework clips", "tracel-ai/burn's ONNX importer", numbers=(68,),
        kind="numbers", formula="c = clip(c) for σ(clip(z))",
    ),
    Mistake(
        "clip-for-cell-clip", "the pre-activations are clipped instead of the cell state",
        partial(_exchange_clips, "clip"),
        "No effect until a value exceeds the limit.",
        "'clip' means pre-activations in ONNX, the cell state in TensorFlow, Core ML and burn.",
        "clip what the model's framework clips", "onnxruntime issue 27224", numbers=(68,),
        kind="numbers", formula="σ(clip(z)) for c = clip(c)",
    ),
    Mistake(
        "clip-c-too", "c is also clipped before its activation", _clip_c_too,
        "Nothing until |c| passes the limit.",
        "ONNX: 'clip is applied to the input of activations'; onnxruntime does not clip c.",
        "agree on one interpretation", "onnxruntime issue 27224, pull 27239", numbers=(68,),
        kind="numbers", formula="h = o * tanh(clip(c))", certain=False,
    ),
    *(
        Mistake(
            f"clip-{limit}", f"pre-activations are clipped to ±{limit}",
            edits(("f i g o", "act(any)", f"act(clip(any, -{limit}, {limit}))")),
            "No effect until some |z| exceeds the limit.",
            "ONNX's clip attribute; Core ML always clips at ±50.",
            "remove the clip from the port, or run with --clip",
            "onnxruntime issue 27224; Core ML NeuralNetwork.proto", numbers=(68,),
            options=f"--clip {limit}", certain=False, kind="numbers",
        )
        for limit in (1, 3, 5, 10, 50)
    ),
    *(
        Mistake(
            f"cell-clip-{limit}", f"the cell state is clipped to ±{limit}",
            edits(("c", "any", f"clip(any, -{limit}, {limit})")),
            "No effect until some |c| exceeds the limit; permanent from then on.",
            "TensorFlow Lite's converter writes cell_clip = 10; int16 cells saturate at ±8.",
            "remove the clip from the port, or run with --cell-clip",
            "TensorFlow Lite; mlcommons/inference issue 689",
            numbers=(68, 71) if limit == 8 else (68,),
            options=f"--cell-clip {limit}", certain=False, kind="numbers",
        )
        for limit in (1, 3, 6, 8, 10)
    ),
)  # fmt: skip
