"""Conversion of weights between layouts: moves are reported, losses are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array, identifier
from lstm_cli.base.errors import InputError, LstmStepError, UsageError, safe
from lstm_cli.base.numbers import shortest, significant
from lstm_cli.cell.traits import Traits, build_cell, standard, traits_of, uncoupled
from lstm_cli.cell.weights import NO_MASK, LstmWeights, Model
from lstm_cli.engine.run import run
from lstm_cli.files.output import write_atomically
from lstm_cli.formats.c_header import numbers_in
from lstm_cli.formats.contents import Package, Place, Variant
from lstm_cli.formats.conventions import Convention, convention_named
from lstm_cli.formats.detect import find_lstms
from lstm_cli.formats.layouts import named_tensors, pack
from lstm_cli.formats.read import file_traits, need_path, read_contents, read_weights
from lstm_cli.formats.registry import Format, format_to_write
from lstm_cli.show.answer import Answer, one_record
from lstm_cli.show.document import Document, Heading, Paragraph

_TRAIT_NAMES = {
    "coupled": "coupled gates",
    "peephole": "peepholes",
    "projection": "a projection",
    "projection_bias": "a projection's bias",
    "activations": "activations",
    "clip": "a clip of pre-activations",
    "cell_clip": "a clip of the cell state",
}


@dataclass(frozen=True, eq=False)
class Conversion:
    """Result of a conversion.

    Attributes:
        source, target: the files.
        convention: the layout written.
        moved: sentences on what was moved or left implicit.
        lost: what the target cannot hold and was dropped with `force`.
        weight_difference: largest difference of a weight when read back; None if any was lost.
        output_difference: that of h over five random steps; None if there is no reader (C).
        read_with: the option needed to read the file, "" if its names are sufficient.
    """

    source: str
    target: str
    convention: str
    moved: tuple[str, ...]
    lost: tuple[str, ...]
    weight_difference: float | None
    output_difference: float | None
    read_with: str = ""


def convert(
    model: Model | str | PathLike[str],
    target: str | PathLike[str],
    to: str = "",
    *,
    dtype: str = "",
    force: bool = False,
) -> Conversion:
    """Write a model's weights in another layout, then read them back and compare.

    Args:
        model: the model to write, or a file as `read_weights` takes it.
        target: the file; its suffix chooses the format.
        to: the convention; "" uses the one that the format requires.
        dtype: "float32" or "float64"; "" uses float32 if it is lossless.
        force: write even if the target cannot hold everything that the cell computes.

    Raises:
        ArgumentError: no model and no path.
        UsageError: an unknown format or convention, or an incompatible pair.
        InputError: the target cannot hold the source; the message says what would be lost.
        OutputError: the file cannot be written.
    """
    model = model if isinstance(model, Model) else read_weights(model)
    need_path(target, "convert")
    target = Path(target)
    saver = format_to_write(target)
    row = _target_row(saver, to)
    if (
        saver.name not in ("onnx", "keras", "c")
        and len({tuple(e.directions) for e in model.layers}) > 1
    ):
        raise InputError(
            f"some layers have two directions and some one, which names of tensors in a "
            f"{saver.name} file do not tell", where=safe(model.source),
            hint="convert to .onnx, or one layer alone: --lstm NAME",
        )  # fmt: skip
    moved, lost = list[str](), list[str]()
    packed: dict[Place, Mapping[str, Array]] = {}
    traits: dict[Place, Traits] = {}
    standards: dict[Place, LstmWeights] = {}
    for level, direction, weights in model.runs:
        place: Place = (level, direction)
        standards[place], own, told = _in_terms_of(row, saver, weights)
        arrays, folded = _fold(dict(standards[place].arrays), own, row)
        moved += [each for each in (*told, *folded) if each not in moved]
        arrays = _with_coupled(arrays, row)
        missing = [_phrase(name, own) for name in _cannot_hold(own, row, saver, arrays)]
        lost += [each for each in missing if each not in lost]
        if lost and not force:
            raise _refusal(row, saver, lost, model.source)
        packed[place] = pack(row, arrays)
        traits[place] = own
    kind = np.dtype(dtype or _narrowest(packed, saver))
    packed = {place: {key: _fitting(key, array, kind, saver, model.source)
                      for key, array in tensors.items()}
              for place, tensors in packed.items()}  # fmt: skip
    sizes = {(lv, d): (w.input_size, w.hidden_size, w.output_size) for lv, d, w in model.runs}
    package = Package(row.name, packed, traits, sizes, named_tensors(row, packed))
    write_atomically(target, [saver.write(package, target)])
    two = sum(t.holds == "b" for t in row.tensors) > 1 or row.name == "onnx"
    if two and "b_f" in model.first.arrays:
        moved.append("the second bias is zero: the first has the sum of both")
    if model.merge != "concat":
        moved.append(f"the merge of the two directions: read it with --merge {model.merge}")
    needs_telling = _needs_telling(target, saver, row)
    if model.mask.value is not None:
        moved.append(
            f"steps that equal Masking's {shortest(model.mask.value)} are not run: give --mask"
        )
    if model.mask.lengths:
        moved.append("steps past the constant sequence_lens are not run: give --lengths")
    model = replace(model, mask=NO_MASK)
    if lost:
        differences: tuple[float | None, float | None] = (None, None)
    elif saver.reads:
        convention = row.name if needs_telling else None
        differences = _read_back(model, list(standards.values()), target, saver, convention)
    else:
        held = {identifier(name): array.ravel() for name, array in package.named.items()}
        differences = (_farthest(held, numbers_in(target.read_text())), None)
    read_with = f"--convention {row.name}" if needs_telling else ""
    return Conversion(
        model.source, str(target), row.name, tuple(moved), tuple(lost), *differences, read_with
    )


def _target_row(saver: Format, to: str) -> Convention:
    if not to and not saver.convention:
        raise UsageError(
            f"a {saver.name} file can hold any convention", where="--to", hint="--to pytorch"
        )
    if to and saver.convention and to != saver.convention:
        raise UsageError(
            f"a {saver.name} file is written in convention {saver.convention}, not {to}",
            where="--to",
            hint=f"--to {saver.convention}, or another suffix",
        )
    return convention_named(to or saver.convention)


def _in_terms_of(
    row: Convention, saver: Format, weights: LstmWeights
) -> tuple[LstmWeights, Traits, list[str]]:
    """Return weights in the family's own terms, if it is of it, and uncoupled where need be."""
    found = standard(weights)
    own, told = traits_of(found.cell), list[str]()
    assert own is not None  # that is what `standard` is for
    if found is not weights:
        told.append("gates are f, i, g and o by what they do to c and h in the table")
    free = uncoupled(own, found.arrays)
    if free and "coupled" in _cannot_hold(own, row, saver, _with_coupled(found.arrays, row)):
        tied, other = ("f", "i") if own.coupled == "coupled-forget" else ("i", "f")
        told.append(f"{tied} = 1 - {other} has weights of its own: those of {other}, negated")
        own, arrays = free
        found = LstmWeights(build_cell(own), arrays, found.source)
    return found, own, told


def _fold(
    arrays: dict[str, Array], own: Traits, row: Convention
) -> tuple[dict[str, Array], list[str]]:
    """Add the difference in run-time forget bias to b_f."""
    change = own.forget_bias - row.forget_bias
    if not change or "b_f" not in arrays:
        return arrays, []
    why = "the run-time forget bias is now in the weights"
    if row.forget_bias:
        why = f"{row.name} adds {shortest(row.forget_bias)} at run time"
    told = f"b_f {'+' if change > 0 else '-'} {shortest(abs(change))}: {why}"
    return arrays | {"b_f": arrays["b_f"] + change}, [told]


def _cannot_hold(
    own: Traits, row: Convention, saver: Format, arrays: Mapping[str, Array]
) -> list[str]:
    """Return the traits that the target format cannot hold, by name."""
    read_back = file_traits(row, Variant(), arrays)
    differing = replace(own, forget_bias=read_back.forget_bias).differences(read_back)
    lost = [name for name in differing if name not in saver.holds]
    if saver.name == "onnx" and own.coupled == "coupled-input":
        lost.append("coupled")  # ONNX's input_forget is f = 1 - i
    for name, holds in (("peephole", "p"), ("projection", "W_hr"), ("projection_bias", "b_hr")):
        if getattr(own, name) and holds not in row.holds:
            lost.append(name)
    return list(dict.fromkeys(lost))


def _phrase(name: str, own: Traits) -> str:
    value = getattr(own, name)
    detail = ", ".join(value) if isinstance(value, tuple) else value
    return _TRAIT_NAMES[name] + (f" ({detail})" if value not in (True, False, "", 0.0) else "")


def _refusal(row: Convention, saver: Format, lost: list[str], source: str) -> InputError:
    return InputError(
        f"convention {row.name} in a {saver.name} file cannot hold {' and '.join(lost)}",
        where=safe(source),
        hint="choose a target that can (`lstm-step list conventions`), or --force to lose it",
    )


def _with_coupled(arrays: Mapping[str, Array], row: Convention) -> dict[str, Array]:
    """Add zeros for a coupled gate if a layout stacks all four (ONNX)."""
    gates = [k for k in "figo" if f"W_{k}" in arrays]
    stacked = any(len(tensor.gates) >= 4 for tensor in row.tensors)
    if len(gates) == 4 or not stacked:
        return dict(arrays)
    kinds = [kind for kind in "Wbp" if f"{kind}_o" in arrays]
    zeros = {f"{kind}_{k}": np.zeros_like(arrays[f"{kind}_o"]) for k in "figo" for kind in kinds}
    return {**zeros, **arrays}


def _narrowest(packed: Mapping[Place, Mapping[str, Array]], saver: Format) -> str:
    arrays = [array for tensors in packed.values() for array in tensors.values()]
    with np.errstate(over="ignore"):  # an overflow is not exact
        exact = all(np.array_equal(array.astype(np.float32), array) for array in arrays)
    return "float32" if exact or saver.name == "onnx" else "float64"


def _fitting(key: str, array: Array, kind: np.dtype[Any], saver: Format, source: str) -> Array:
    """Convert an array to the type to write, unless a number is too large for it."""
    least = np.dtype(np.float32) if saver.name == "onnx" else kind  # its node computes in float32
    beyond = np.abs(array) > np.finfo(least).max
    if beyond.any():
        raise InputError(
            f"{safe(key)} has {significant(array[beyond][0], 6)}, but {least} only goes up to "
            f"{significant(np.finfo(least).max, 6)}",
            where=source,
            hint="--dtype float64, in a format that supports it (npz, safetensors, keras, json)",
        )
    return array.astype(kind)


def _farthest(arrays: Mapping[str, Array], others: Mapping[str, Array]) -> float:
    """Largest difference between arrays and others of the same names."""
    return max(float(np.max(np.abs(array - others[name]), initial=0.0))
               for name, array in arrays.items())  # fmt: skip


def _needs_telling(target: Path, saver: Format, row: Convention) -> bool:
    """Whether the new file would be misread or refused without `--convention`."""
    if not saver.reads or saver.convention:
        return False
    contents = read_contents(target)
    try:
        (found,) = find_lstms(contents, str(target))
    except (LstmStepError, ValueError):
        return True
    if found.question:
        return True
    same_keys = found.convention.tensors == row.tensors  # PyTorch's layout under another name
    return found.convention.name != row.name and not (
        same_keys and found.convention.forget_bias == row.forget_bias
        and found.convention.activations == row.activations
    )  # fmt: skip


def _read_back(
    model: Model, standards: list[LstmWeights], target: Path, saver: Format, convention: str | None
) -> tuple[float | None, float | None]:
    """Largest differences of weights and of h between a model and its new file.

    `standards` are the model's weights in the family's terms.
    """
    if saver.name == "keras":  # stores a stack as separate layers, in order
        levels = range(len(model.layers))
        parts = [read_weights(target, lstm=str(level)) for level in levels]
        again = replace(parts[0], layers=tuple(part.layers[0] for part in parts))
    else:
        again = read_weights(target, convention=convention)
    weights = max(
        _farthest(_plain(one), _plain(other))
        for one, (_, _, other) in zip(standards, again.runs, strict=True)
    )
    x = np.random.default_rng(0).normal(size=(5, model.input_size))
    output = float(np.max(np.abs(run(model, x)["h"] - run(again, x)["h"])))
    return weights, output


def _plain(weights: LstmWeights) -> dict[str, Array]:
    """Return the parameters with the run-time forget bias included."""
    traits = traits_of(weights.cell)
    arrays = dict(weights.arrays)
    if traits and traits.forget_bias and "b_f" in arrays:
        arrays["b_f"] = arrays["b_f"] + traits.forget_bias
    return arrays


def convert_answer(done: Conversion, model: Model) -> Answer:
    """Return what `convert` answers."""
    own = {"schema": "lstm-step/1", "command": "convert", **done.__dict__}
    return Answer(
        lambda style: convert_document(done, model),
        one_record(lambda: own | {"assumptions": list(model.assumptions)}),
    )


def convert_document(done: Conversion, model: Model) -> Document:
    """Describe what happened to a model's weights; file names are not wrapped on a terminal."""
    title = f"{done.source} ({model.convention}) → {done.target} ({done.convention})"
    lines = (Paragraph(line, wrap=False) for line in _lines(done, model))
    return Document((Heading(title, tone="", wrap=False), *lines))


def _lines(done: Conversion, model: Model) -> Iterator[str]:
    yield from (f"assumed: {each}" for each in model.assumptions)
    if done.read_with:
        yield f"read it with {done.read_with}: its names alone do not determine the layout"
    yield from (f"moved: {each}" for each in done.moved)
    yield from (f"lost: {each}" for each in done.lost)
    if done.weight_difference is None:
        yield "not compared: something was lost"
        return
    line = f"read back: weights differ by at most {significant(done.weight_difference)}"
    if done.output_difference is not None:
        line += f", h over 5 steps by {significant(done.output_difference)}"
    yield line
