"""From a weight file to a model.

A reader returns the file's contents and `detect` finds the LSTMs in them; here they become a model,
with the file's own variant (hard sigmoid, clip, peepholes, projection) as edits of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array, to_numpy
from lstm_cli.base.errors import ArgumentError, InputError, LstmStepError, ShapeError, kind_of, safe
from lstm_cli.base.foreign import shell_word
from lstm_cli.base.numbers import significant
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.shapes import solve_sizes
from lstm_cli.cell.traits import PLAIN_ACTIVATIONS, Traits, build_cell
from lstm_cli.cell.weights import Direction, Layer, LstmWeights, Model
from lstm_cli.formats.contents import Contents, Part, Variant, in_memory
from lstm_cli.formats.conventions import CONVENTIONS, ByHand, Convention, by_hand, convention_named
from lstm_cli.formats.detect import Found, advice, find_lstms
from lstm_cli.formats.layouts import recurrent_biases, shown_key, unpack
from lstm_cli.formats.registry import format_of

Edit = Callable[[Cell], Cell]

_LOOK = "`lstm-step inspect` shows what is there; re-export the model without what is named here"


def read_contents(path: Path, *, external: bool = False) -> Contents:
    """Read the contents of a weight file; numbers are read on demand.

    Args:
        external: whether an ONNX model may have its weights in files beside it.

    Raises:
        InputError: an unknown format, a missing package, or a file that its reader refuses.
    """
    chosen = format_of(path)
    options = {"allow_external_data": True} if external and chosen.name == "onnx" else {}
    return chosen.read(path, **options)


def read_weights(
    path: str | PathLike[str],
    *,
    lstm: str = "",
    cell: Cell | None = None,
    convention: str | None = None,
    edit: Edit | None = None,
    external: bool = False,
) -> Model:
    """Read an LSTM in a weight file as a model, with all its layers and directions.

    Args:
        path: a file of a format in `FORMATS`.
        lstm: which LSTM, by its name in the file or its number from 0, where there are several.
        cell: the table of equations; None takes the file's own variant of the LSTM.
        convention: the layout's name, or what is said of it by hand (`gates=igfo`, `transpose`,
            `joined=xh`, joined by commas); None lets names and shapes decide.
        edit: a final edit of the table (a forget bias, a clip).
        external: whether an ONNX model may have its weights in files beside it.

    Raises:
        ArgumentError: `path` is no path.
        InputError: unreadable, not recognised, ambiguous, or a parameter is missing.
        ShapeError: shapes disagree; both sides are named.
    """
    need_path(path, "read_weights")
    contents = read_contents(Path(path), external=external)
    return model_from(contents, str(path), lstm=lstm, cell=cell, convention=convention, edit=edit)


def need_path(path: object, call: str) -> None:
    """Refuse what is no path by an ArgumentError; `call` is the function that needs one."""
    if not isinstance(path, str | PathLike):
        what = f"path is {kind_of(path)}, not the name of a file"
        hint = "of arrays in memory: model_from_arrays(module.state_dict())"
        raise ArgumentError(what, where=f"{call}()", hint=hint)


def model_from_arrays(
    arrays: Mapping[str, Any] | Sequence[Any],
    *,
    source: str = "arrays",
    lstm: str = "",
    cell: Cell | None = None,
    convention: str | None = None,
    edit: Edit | None = None,
) -> Model:
    """Build a model from arrays in memory, such as a module's `state_dict()` as it is.

    Args:
        arrays: by name, or nested by name as in Flax, `{"params": {…}}`: tensors of PyTorch, JAX or
            anything that NumPy can convert, of any type, on any device. Values that are not arrays
            (a state dict may hold settings) are skipped. Or the list of one Keras layer's
            `get_weights()`: kernel `(I, 4·H)`, recurrent kernel `(H, 4·H)`, bias `(4·H,)`.
        source: their name in messages.
        lstm, cell, convention, edit: as `read_weights`.

    Raises:
        ArgumentError: not arrays but a file's name, a module or a layer; the error says what to
            call.
        InputError: a list that does not say what it holds; else as `read_weights`.
        ShapeError: as `read_weights`.
    """
    if isinstance(arrays, list | tuple):
        named = _of_keras(arrays, source)
        layout = convention or "keras"
        model = model_from_arrays(
            named, source=source, lstm=lstm, cell=cell, convention=layout, edit=edit
        )
        left = CONVENTIONS["keras"].leaves_open
        return model if convention else replace(model, assumptions=(left, *model.assumptions))
    if not isinstance(arrays, Mapping):
        raise _no_arrays(arrays)
    contents = in_memory(arrays)
    return model_from(contents, source, lstm=lstm, cell=cell, convention=convention, edit=edit)


def _of_keras(arrays: Sequence[Any], source: str) -> dict[str, Any]:
    """Name the list of a Keras layer's `get_weights()`, which its shapes must tell."""
    try:
        found = [to_numpy(each) for each in arrays]
    except (TypeError, ValueError, RuntimeError):
        found = []
    shapes = [each.shape for each in found]
    if len(shapes) in (2, 3) and len(shapes[0]) == len(shapes[1]) == 2:
        four = 4 * shapes[1][0]
        if (shapes[0][1], shapes[1][1], shapes[2:]) in ((four, four, []), (four, four, [(four,)])):
            return dict(zip(("kernel", "recurrent_kernel", "bias"), found, strict=False))
    given = f"{len(arrays)} arrays" + "".join(f" {list(each)}" for each in shapes[:12])
    raise InputError(
        f"a list of {given} does not say which weights they are", where=safe(source),
        hint="give them by name: {each.path: each for each in layer.weights} of a Keras layer, "
        "dict(module.named_parameters()) of a PyTorch module",
    )  # fmt: skip


def _no_arrays(given: object) -> ArgumentError:
    """Return the error for what has no arrays by name, with the call that takes it."""
    hint = "model_from_arrays({name: array, …})"
    if isinstance(given, str | PathLike):
        hint = f'read_weights("{safe(given)}")'
    elif hasattr(given, "get_weights"):  # first: on PyTorch a layer of Keras is a module, too
        hint = "model_from_arrays({each.path: each for each in layer.weights})"
    elif hasattr(given, "state_dict"):
        hint = "model_from_arrays(module.state_dict())"
    what = f"arrays is {kind_of(given)}, not a mapping of names to arrays"
    return ArgumentError(what, where="model_from_arrays()", hint=hint)


def model_from(
    contents: Contents,
    source: str,
    *,
    lstm: str = "",
    cell: Cell | None = None,
    convention: str | None = None,
    edit: Edit | None = None,
) -> Model:
    """Build a model from a file's contents; arguments and errors as `read_weights`."""
    place = safe(source)
    told = convention or contents.blocks or contents.refused
    if cell is not None and not told and set(contents.tensors) == set(cell.parameters):
        # The cell's own names: nothing to decide (a user's cell may have any).
        cell = edit(cell) if edit else cell
        weights = LstmWeights(cell, dict(contents.tensors), source)
        split = any(name.startswith("U_") for name in cell.parameters)
        joined = () if split else ("W_k are read as joined on [h_prev, x]",)
        return Model.single(weights, source=source, assumptions=joined)
    row = convention_named(convention) if convention else None
    found = find_lstms(contents, place, row)
    if not found:
        raise _nothing_found(contents, place, row)
    chosen = choose_lstm(found, lstm, place, contents.refused)
    if not contents.blocks:
        refuse_strangers(contents, found, place)
    return decide(chosen, source, cell=cell, edit=edit)


def decide(
    found: Found, source: str, *, cell: Cell | None = None, edit: Edit | None = None
) -> Model:
    """Build the model on which all readings of a found LSTM agree.

    Raises:
        InputError: they differ; each is listed with what it gives for a line of numbers.
        LstmStepError: as `read_weights`.
    """
    if not found.question:
        return _assembled(found, source, cell, edit)
    models: dict[str, Model] = {}
    titles: dict[str, list[str]] = {}
    fitting = [each for each in found.readings if _fits(each, source, cell)] or found.readings
    for each in fitting:
        row, model = each.convention, assemble(each, source, cell=cell, edit=edit)
        same = next((key for key, other in models.items() if _agree(model, other)), row.options)
        models.setdefault(same, model)
        titles.setdefault(same, []).append(row.title.partition(":")[0])
    if len(models) == 1 < len(found.readings):
        return next(iter(models.values()))
    lines = [
        f"{key}: h = {_two_steps(model)} ({', '.join(titles[key])})"
        for key, model in models.items()
    ]
    if len({each.convention.tensors for each in found.readings}) > 1:
        lines.append("for another, say it by hand: --gates ORDER, --transpose, --joined ORDER")
    raise InputError(
        found.question,
        where=f"{safe(source)}, {safe(found.name)}" if found.name else safe(source),
        hint="\n    ".join(("choose one; two steps of x = 0.5, 0.5, … from zeros give", *lines)),
    )


def _agree(one: Model, other: Model) -> bool:
    """Whether two models compute the same from the same numbers."""
    return all(
        a.cell.equations == b.cell.equations
        and all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
        for (_, _, a), (_, _, b) in zip(one.runs, other.runs, strict=True)
    )


def _two_steps(model: Model) -> str:
    """The first numbers of h after two steps from zeros, as text."""
    from lstm_cli.engine.run import run  # only needed to ask: keeps startup fast

    h = run(model, np.full((2, model.input_size), 0.5)).output[-1]
    return ", ".join(significant(value, 6) for value in h[:4]) + ", …" * (len(h) > 4)


def _assembled(found: Found, source: str, cell: Cell | None, edit: Edit | None) -> Model:
    """As `assemble`; where shapes fit once the matrices are turned, its error says so."""
    try:
        return assemble(found, source, cell=cell, edit=edit)
    except ShapeError as error:
        row = found.convention
        turned = by_hand(row, ByHand(transpose=True))
        if turned is None or not _fits(replace(found, convention=turned), source, cell):
            raise
        hint = "the matrices look transposed: --transpose"
        if row.hand and row.hand.transpose:
            hint = "they fit without --transpose"
        raise ShapeError(error.lines.what, where=error.lines.where, hint=hint) from None


def _fits(found: Found, source: str, cell: Cell | None) -> bool:
    try:
        assemble(found, source, cell=cell)
    except LstmStepError:
        return False
    return True


def _nothing_found(contents: Contents, place: str, row: Convention | None) -> InputError:
    if contents.refused:
        first, *others = contents.refused.values()
        return InputError(first, where="; ".join((place, *others[:8])), hint=_LOOK)
    names = ", ".join(map(safe, list(contents.tensors)[:12])) or "no tensors"
    if row is not None:
        keys = ", ".join(shown_key(t.key) for t in row.tensors if not t.optional)
        what, hint = f"no {row.name} LSTM here: it needs {keys}", "`lstm-step inspect` shows all"
    else:
        what = "no LSTM's weights are recognised"
        hint = (
            "use W_f … b_o, W_f U_f b_f …, or a framework's names, `lstm-step list conventions`; "
            "or say the order of gates: --gates ifgo"
        )
    notes = "".join(f"; {note}" for note in contents.notes)
    return InputError(what, where=f"{place}, which has {names}{notes}", hint=hint)


def refuse_strangers(contents: Contents, found: list[Found], place: str) -> None:
    """Refuse unknown names beside one of our own layouts: most likely they are misspelt.

    Raises:
        InputError: there is one; the message says which missing parameter it may be.
    """
    if len(found) != 1 or found[0].convention.base not in ("joined", "joined-xh", "split"):
        return
    strangers = [name for name in contents.tensors if name not in found[0].names]
    if not strangers:
        return
    keys = {key for part in found[0].parts.values() for key in part.tensors}
    kinds = {key[0] for key in keys if "_" in key}
    missing = [f"{kind}_{k}" for kind in sorted(kinds) for k in "figo" if f"{kind}_{k}" not in keys]
    raise InputError(
        f"convention {found[0].convention.name} has no '{safe(strangers[0])}'", where=place,
        hint=f"is it {' or '.join(missing)}, which is not there?"
        if missing else "remove it, or name another --convention",
    )  # fmt: skip


def choose_lstm(
    found: list[Found], lstm: str, place: str, refused: Mapping[str, str] | None = None
) -> Found:
    """Choose the LSTM of `--lstm`, by name or number.

    Args:
        lstm: a name, the end of one, a number, or "".
        refused: those that cannot be read: name -> why. They count where none is named: it is
            then as unclear which one is meant as among several that can be read.

    Raises:
        InputError: there are several and none is named, there is none of that name, or the named
            one cannot be read.
    """
    refused = refused or {}
    names, lstm = [each.name.text for each in found], lstm.rstrip("._/")
    shown = ", ".join(f"{i}: {safe(name) or '(unnamed)'}" for i, name in enumerate(names))
    inside = {number for each in found for number in each.members}
    whole = [each for number, each in enumerate(found) if number not in inside]
    if not lstm and len(whole) == 1 and not refused:
        return whole[0]
    if lstm and lstm in names:
        return found[names.index(lstm)]
    if lstm.isdecimal() and int(lstm) < len(found):
        return found[int(lstm)]
    ending = [e for e in found if lstm and e.name.text.endswith(lstm) and not e.members]
    unread = [why for name, why in refused.items() if lstm and name.endswith(lstm)]
    if len(ending) == 1 and not unread:
        return ending[0]
    what = f"no LSTM '{safe(lstm)}' in the file" if lstm else f"the file has {len(whole)} LSTMs"
    if lstm in refused or (len(unread) == 1 and not ending):
        what = refused.get(lstm) or unread[0]
    elif refused and not lstm:
        what = "some LSTMs in the file cannot be read: say which one you mean"
    apart = [f"the x of {safe(each.name)} is {safe(each.x_is)}" for each in whole if each.x_is]
    # A name that cannot be typed, or that looks like an option, is replaced by its number.
    plain = names[0] == safe(names[0]).rstrip("._/") and not names[0].startswith("-")
    raise InputError(
        what,
        where="; ".join((f"{place}: {shown}", *apart[:8], *list(refused.values())[:8])),
        hint=f"choose one: --lstm {shell_word(names[0]) if plain and names[0] else '0'}",
    )


def assemble(
    found: Found, source: str, *, cell: Cell | None = None, edit: Edit | None = None
) -> Model:
    """Build the model of a found LSTM; arguments and errors as `read_weights`."""
    layers: dict[int, dict[Direction, LstmWeights]] = {}
    assumptions = list(found.open)
    name = f"{safe(source)}, {safe(found.name)}" if found.name else safe(source)
    for (level, direction), part in found.parts.items():
        where = name if len(found.parts) == 1 else f"{name}, layer {level} {direction}"
        parameters = unpack(found.convention, part.tensors, where, (level, direction))
        traits = file_traits(found.convention, part.variant, parameters)
        own = build_cell(traits, cell)
        own = edit(own) if edit else own
        if part.variant.cells:  # in ONNX a coupled gate has weights, which are not used
            parameters = {k: v for k, v in parameters.items() if k in own.parameters}
        parameters, note = _with_biases(own, parameters, where)
        note += _partial_biases(found.convention, part)
        note += advice(found.convention, traits) if cell is None else ()
        assumptions += [each for each in note if each not in assumptions]
        second = recurrent_biases(found.convention, part.tensors, where)
        layers.setdefault(level, {})[direction] = LstmWeights(own, parameters, where, second)
    _check_levels(layers, name, by_name=bool(found.names))
    stack = tuple(Layer(layers[level]) for level in sorted(layers))
    return Model(
        stack,
        source=f"{source}, {found.name.text}" if found.name else source,
        convention=found.convention.name,
        assumptions=tuple(assumptions),
        mask=found.mask,
        merge=found.merge,
    )


def file_traits(row: Convention, variant: Variant, parameters: Mapping[str, Array]) -> Traits:
    """The traits of a file's layer: its own variant, and what its framework adds.

    Args:
        row: the layout, whose framework may add a forget bias, clips or other activations.
        parameters: the unpacked parameters, which show peepholes, a projection or a missing gate.
    """
    coupled = next(iter(variant.cells), "")
    if not coupled and "W_o" in parameters and ("W_f" in parameters) != ("W_i" in parameters):
        coupled = "coupled-input" if "W_f" in parameters else "coupled-forget"
    return Traits(
        coupled=coupled,
        peephole=any(name.startswith("p_") for name in parameters),
        projection="W_hr" in parameters,
        projection_bias="b_hr" in parameters,
        activations=variant.activations or row.activations or PLAIN_ACTIVATIONS,
        forget_bias=row.forget_bias + variant.forget_bias,
        clip=variant.clip or row.clip,
        cell_clip=variant.cell_clip or row.cell_clip,
    )


def _with_biases(
    cell: Cell, parameters: dict[str, Array], place: str
) -> tuple[dict[str, Array], list[str]]:
    """Add zero biases where the file has none at all, with a note that says so."""
    biases = [name for name in cell.parameters if name.startswith("b_")]
    others = cell.parameters.keys() - set(biases)
    if not biases or any(name in parameters for name in biases) or others - parameters.keys():
        return parameters, []
    shapes = {name: dims for name, dims in cell.shapes.items() if name not in biases}
    try:
        sizes = solve_sizes(shapes, parameters, place)
    except (LstmStepError, KeyError):
        return parameters, []  # LstmWeights reports it better, since it knows the whole cell
    zeros = {name: np.zeros(sizes[cell.parameters[name][0][0]]) for name in biases}
    return parameters | zeros, ["no biases in the weights: zeros"]


def _partial_biases(row: Convention, part: Part) -> list[str]:
    """A note on the biases that the layout has and the file lacks."""
    keys = [tensor.key for tensor in row.tensors if tensor.holds == "b" and tensor.gates]
    absent = [shown_key(key) for key in keys if key not in part.tensors]
    some = 0 < len(absent) < len(keys)
    return [f"{', '.join(absent)} not in the file: zeros"] if some else []


def _check_levels(layers: Mapping[int, Any], place: str, *, by_name: bool) -> None:
    missing = [level for level in range(max(layers)) if level not in layers]
    if missing:
        what = f"layer {missing[0]} is missing; the file has layers {sorted(layers)}"
        raise InputError(what, where=place, hint="layers count from 0 without gaps")
    if by_name and len({tuple(directions) for directions in layers.values()}) > 1:
        raise InputError(
            "some layers have two directions and some one", where=place, hint="give all or none"
        )
