"""Which steps of the input are run, and what stands in the output at the others.

A step that is masked out leaves the states as they were. That is as if it was not in the input: the
steps that are left run alone, through all layers and in both directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array, to_numpy
from lstm_cli.base.errors import ShapeError, UsageError, safe, suggest
from lstm_cli.base.numbers import shortest
from lstm_cli.cell.weights import Direction, Model

# What stands in the output at steps that are not run.
PADDINGS = {
    "stop": "nothing: those steps are absent",
    "zero": "zeros, as PyTorch's pad_packed_sequence and Keras' zero_output_for_mask",
    "keras": "the previous output, zeros before the first; zeros in a Bidirectional",
    "onnx": "zeros, as ONNX' sequence_lens",
}


def steps_run(
    model: Model, x: Array, lengths: Any = None, mask: Any = None, padding: str = "stop"
) -> tuple[Array | None, tuple[str, ...]]:
    """Decide which steps of `x (…, T, I)` are run, and say what a model's own mask decides.

    Returns:
        `(T,)` of bools, or `(…, T)` where samples differ, and sentences; None is every step.

    Raises:
        UsageError: lengths and mask together, a padding without either, or one that cannot be.
        ShapeError: as many lengths, or a mask as long, as x has not; a sample without a step.
    """
    if padding not in PADDINGS:
        what = f"--padding is '{safe(padding)}'"
        raise UsageError(what, where="--padding", hint=suggest(str(padding), PADDINGS))
    if lengths is not None and mask is not None:
        raise UsageError("--lengths and --mask are both given", where="--mask", hint="keep one")
    ran, told = _own(model, x) if lengths is None and mask is None else (None, ())
    if lengths is not None:
        ran = _from_lengths(lengths, x.shape[:-1], "--lengths")
    elif mask is not None:
        ran = _from_mask(mask, x.shape[:-1])
    if padding != "stop" and lengths is None and mask is None and model.mask[:2] == (None, ()):
        raise UsageError(
            "--padding has no effect without --lengths or --mask", where="--padding",
            hint="give one of them too, or leave --padding out",
        )  # fmt: skip
    if ran is None or ran.all():
        return None, told
    if not ran.any(axis=-1).all():
        raise ShapeError(
            "a sample has no step that is run" + (f": {told[0]}" if told else ""), where="--mask",
            hint="leave such a sample out; its output is its initial state",
        )  # fmt: skip
    if padding == "onnx" and (np.diff(ran.astype(int), axis=-1) > 0).any():
        raise UsageError(
            "--padding onnx with steps left out before the last: sequence_lens only cuts the end",
            where="--padding", hint="--padding zero, keras or stop",
        )  # fmt: skip
    rows = ran.reshape(-1, ran.shape[-1])
    return (rows[0] if (rows == rows[0]).all() else ran), told


def _own(model: Model, x: Array) -> tuple[Array | None, tuple[str, ...]]:
    """The steps that the model's file says are run, with a sentence if they are not all."""
    value, lengths, _ = model.mask
    if value is not None:
        ran = unmasked(x, value)
        why = f"equal the mask_value {shortest(value)} of the model's Masking"
    elif lengths:
        given = lengths[0] if len(set(lengths)) == 1 else lengths
        ran = _from_lengths(given, x.shape[:-1], "the model's sequence_lens")
        why = "are past the model's sequence_lens"
    else:
        return None, ()
    if ran.all():
        return None, ()
    left = ran.size - int(ran.sum())
    return ran, (f"{left} of {ran.size} steps {why}: not run; see --padding",)


def unmasked(x: Array, value: float) -> Array:
    """The steps `(…, T)` of x that Keras' Masking leaves, which compares in float32."""
    return np.asarray((x.astype(np.float32) != np.float32(value)).any(axis=-1))


def _from_lengths(given: Any, shape: tuple[int, ...], name: str) -> Array:
    *lead, steps = shape
    lengths = _whole(given, name)
    hint = f"{'' if name == '--lengths' else 'give --lengths, '}one number a sample"
    lengths = lengths.reshape(()) if lengths.size == 1 and not lead else lengths
    if lengths.ndim and lengths.shape != tuple(lead):
        raise ShapeError(
            f"{name} has {lengths.size} numbers, --x has "
            f"{' × '.join(map(str, lead)) or 1} sample{'s' * bool(lead)}",
            where=name, hint=hint,
        )  # fmt: skip
    outside = lengths[(lengths < 1) | (lengths > steps)]
    if outside.size:
        raise ShapeError(
            f"{name} has {outside[0]}, --x has {steps} steps", where=name,
            hint=f"{hint}, from 1 to {steps}; leave out a sample without steps",
        )  # fmt: skip
    whole = np.broadcast_to(lengths, tuple(lead))
    return np.asarray(np.arange(steps) < whole[..., None])


def _from_mask(given: Any, shape: tuple[int, ...]) -> Array:
    mask = _whole(given, "--mask")
    if mask.ndim == 2 and (len(mask) == 1 or mask.shape == (*shape, 1)):
        mask = mask.ravel()  # a typed row, or a column of a file
    if mask.shape not in (shape, shape[-1:]):
        raise ShapeError(
            f"--mask has shape {mask.shape}, --x has {shape} steps", where="--mask",
            hint="a 1 for each step that is run and a 0 for each that is not; a row a sample",
        )  # fmt: skip
    if ((mask != 0) & (mask != 1)).any():
        raise UsageError(
            f"--mask holds {mask[(mask != 0) & (mask != 1)][0]}", where="--mask",
            hint="1 for a step that is run, 0 for one that is not",
        )  # fmt: skip
    return np.broadcast_to(mask != 0, shape)


_WHOLE = {
    "--lengths": "--lengths 3, or one whole number a sample",
    "--mask": "--mask 1,1,0: 1 for a step that is run, 0 for one that is not",
}


def _whole(given: Any, name: str) -> Array:
    """Whole numbers or bools as an array.

    Raises:
        UsageError: something else.
    """
    try:
        numbers = to_numpy(given).astype(np.float64)
        if (numbers == np.rint(numbers)).all():
            return np.asarray(numbers, dtype=np.int64)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise UsageError(
        f"{name} is not whole numbers", where=name, hint=_WHOLE.get(name, _WHOLE["--lengths"])
    )


def padded(h: Array, ran: Array | None, padding: str, direction: Direction) -> Array:
    """The output over all input times of one direction, from h of the steps that were run."""
    if ran is None or padding == "stop":
        return h
    times = np.arange(ran.shape[-1])
    if ran.ndim == 1:
        whole = np.zeros((*h.shape[:-2], len(times), h.shape[-1]), h.dtype)
        whole[..., ran, :] = h
    else:
        whole = np.where(ran[..., None], h, 0.0)
    if padding != "keras":
        return whole
    # The time of the step processed last, at each time.
    if direction == "forward":
        last = np.maximum.accumulate(np.where(ran, times, -1), axis=-1)
    else:
        later = np.where(ran, times, len(times))[..., ::-1]
        last = np.minimum.accumulate(later, axis=-1)[..., ::-1]
    there = (last >= 0) & (last < len(times))
    rows = np.broadcast_to(np.where(there, last, 0)[..., None], (*whole.shape[:-1], 1))
    return np.where(there[..., None], np.take_along_axis(whole, rows, axis=-2), 0.0)
