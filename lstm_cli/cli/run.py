"""`lstm-step run`: one step or N, every value beside its equation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.cli import options as o
from lstm_cli.errors import UsageError, safe

if TYPE_CHECKING:
    from lstm_cli.cells import Cell
    from lstm_cli.engine import Trace
    from lstm_cli.equations import Array
    from lstm_cli.render.rows import View
    from lstm_cli.weights import Model

EXAMPLES = """\b
Vectors: 0,0.5,-1e-3 · [0 0.5] · a pasted np.array([...]) · rows by ; · @file.csv ·
@file.npz:key · - for stdin. A --h or --c that is not given is zeros.

\b
Examples:
  lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step --x "1,2,3; 4,5,6" --weights samples/weights/hand.json
  lstm-step --x 1,0 --preset count --steps 5 --at all
  lstm-step --x 0.5,1 --cell peephole --preset random --notation split
  lstm-step --x @x.npy --weights model.npz -f csv -o trace.csv
  lstm-step --x 1,2 --json | jq '.steps[].f'
"""

_VECTOR = "numbers, @file or -"

X = Annotated[str, typer.Option("--x", "-x", metavar="ROWS", help=f"The input: {_VECTOR}.")]
H = Annotated[
    str,
    typer.Option("--h", "--h-prev", metavar="ROWS", help=f"The hidden state before: {_VECTOR}."),
]
C = Annotated[
    str, typer.Option("--c", "--c-prev", metavar="ROWS", help=f"The cell state before: {_VECTOR}.")
]


def run(
    x: X = "",
    h: H = "",
    c: C = "",
    steps: o.Steps = 0,
    weights: o.Weights = "",
    layer: o.LayerName = "",
    direction: o.DirectionName = None,
    external: o.External = False,
    preset: o.Preset = "",
    seed: o.Seed = 0,
    hidden_size: o.HiddenSize = 0,
    output_size: o.OutputSize = 0,
    cell: o.CellName = "",
    convention: o.ConventionName = "",
    forget_bias: o.ForgetBias = None,
    clip: o.Clip = None,
    cell_clip: o.CellClip = None,
    activations: o.Activations = "",
    dtype: o.DtypeName = o.Dtype.FLOAT64,
    allow_nonfinite: Annotated[
        bool, typer.Option("--allow-nonfinite", help="Let nan and inf be numbers.")
    ] = False,
    unit: Annotated[
        str, typer.Option("--unit", "-u", metavar="UNITS", help="Show only these: 3, 0:8, 0,2,5.")
    ] = "",
    at: Annotated[
        str, typer.Option("--at", metavar="STEPS", help="Show only these: 3, 1:10, last, all.")
    ] = "",
    sample: Annotated[
        int | None, typer.Option("--sample", min=0, metavar="K", help="Which, where --x has many.")
    ] = None,
    notation: Annotated[
        o.NotationName,
        typer.Option("--notation", help="joined: W_f · [h, x]; split: W_f x + U_f h."),
    ] = o.NotationName.JOINED,
    digits: Annotated[
        int, typer.Option("--digits", "-d", min=0, max=17, help="Decimals in tables.")
    ] = 6,
    format_: Annotated[
        str,
        typer.Option("--format", "-f", metavar="FORMAT",
                     help="table, plain, json, jsonl, csv, markdown, latex or npz."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The same as -f json.")] = False,
    output: o.Output = "-",
    color: o.ColorWhen = o.Color.AUTO,
) -> None:  # fmt: skip
    """Show every gate of one step or many.

    Each value stands beside the equation that made it.

    Options alone mean this command: `lstm-step --h … --x …`.
    """
    known = ["table", "plain", "json", "jsonl", "csv", "markdown", "latex", "npz"]
    chosen = o.pick_format(format_, as_json, known, terminal=output == "-" and sys.stdout.isatty())
    if chosen == "npz" and output == "-" and sys.stdout.isatty():
        raise UsageError("npz is not for a terminal", where="-f npz", hint="-o trace.npz")
    vectors = _read_vectors({"--x": x, "--h": h, "--c": c}, allow_nonfinite)
    if vectors["--x"] is None:
        raise UsageError(
            "--x is missing: there is no input",
            where="lstm-step run",
            hint="lstm-step --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1",
        )
    vectors["--x"] = _chosen_sample(vectors["--x"], sample, chosen)
    table = o.CellOptions(cell, forget_bias, clip, cell_clip, activations)
    if weights and preset:
        raise UsageError(
            "--weights and --preset are both given", where="lstm-step run", hint="keep one of them"
        )
    sizes = {"hidden_size": hidden_size, "output_size": output_size}
    file_only: dict[str, object] = {
        "--layer": layer,
        "--direction": direction,
        "--convention": convention,
        "--allow-external-data": external,
    }
    preset_only: dict[str, object] = {
        "--seed": seed,
        "--hidden-size": hidden_size,
        "--output-size": output_size,
    }
    _refuse_idle(preset_only if weights else file_only, "--preset" if weights else "--weights")
    if weights:
        model = o.file_model(weights, layer, direction, convention, table, external)
    else:
        model = _preset_model(preset, seed, sizes, table.own_cell(), vectors)

    from lstm_cli.render.rows import View, checked_view

    trace = _trace(model, vectors, steps, dtype)
    view = checked_view(View(notation.value, digits, unit, at), trace)
    _emit(trace, view, chosen, output, color)


def _refuse_idle(options: dict[str, object], owner: str) -> None:
    """Refuse options that would have no effect: they belong to weights of the other kind.

    Raises:
        UsageError: names the first of them.
    """
    for name, value in options.items():
        if value:
            raise UsageError(
                f"{name} has no effect without {owner}",
                where="lstm-step run",
                hint=f"give {owner} too, or leave {name} out",
            )


def _read_vectors(texts: dict[str, str], allow_nonfinite: bool) -> dict[str, Array | None]:
    from lstm_cli.vectors import read_vector

    piped = [name for name, text in texts.items() if text == "-"]
    if len(piped) > 1:
        raise UsageError(
            f"{' and '.join(piped)} both read stdin", where="-", hint="give one of them as @FILE"
        )
    return {
        name: read_vector(
            text, name, allow_nonfinite=allow_nonfinite, most_axes=3 if name == "--x" else 2
        )
        if text
        else None
        for name, text in texts.items()
    }


def _chosen_sample(x: Array, sample: int | None, chosen: str) -> Array:
    """Return x `(T, I)`, or `(N, T, I)` where the format can show samples.

    Raises:
        UsageError: `--sample` is out of range, or needed.
    """
    if x.ndim == 2:
        if sample not in (None, 0):
            raise UsageError("--x is one sequence", where="--sample", hint="leave --sample out")
        return x
    if sample is not None:
        if sample >= len(x):
            raise UsageError(
                f"--sample {sample}: there are 0 to {len(x) - 1}", where="--sample",
                hint="samples count from 0",
            )  # fmt: skip
        chosen_rows: Array = x[sample]
        return chosen_rows
    if chosen not in ("json", "jsonl", "npz"):
        raise UsageError(
            f"--x holds {len(x)} samples, and {chosen} shows one",
            where="--x",
            hint="--sample 0, or -f json, jsonl, npz, whose values are then (samples, units)",
        )
    return x


def _preset_model(
    preset: str,
    seed: int,
    sizes: dict[str, int],
    cell: Cell | None,
    vectors: dict[str, Array | None],
) -> Model:
    from dataclasses import replace

    from lstm_cli.cells import LSTM
    from lstm_cli.presets import preset_model, sizes_of

    x, h, c = (vectors[name] for name in ("--x", "--h", "--c"))
    assert x is not None
    asked = {letter: size for letter, size in
             (("H", sizes["hidden_size"]), ("P", sizes["output_size"])) if size}  # fmt: skip
    model = preset_model(
        preset or "identity", cell or LSTM, sizes=sizes_of(x, h, c) | asked, seed=seed
    )
    if preset:
        return model
    return replace(model, assumptions=("no weights given: preset identity (W_k = [I | I], b = 0)",))


def _trace(model: Model, vectors: dict[str, Array | None], steps: int, dtype: o.Dtype) -> Trace:
    from lstm_cli.engine import run as run_model
    from lstm_cli.vectors import repeat_or_cut

    x = vectors["--x"]
    assert x is not None
    x = repeat_or_cut(x, steps, "--x")
    return run_model(model, x, vectors["--h"], vectors["--c"], dtype=dtype.value)


def _emit(trace: Trace, view: View, chosen: str, output: str, color: o.Color) -> None:
    from lstm_cli.version import __version__
    from lstm_cli.writers import write_out

    if chosen != "table":
        from lstm_cli.render.text import FORMATS

        write_out(FORMATS[chosen](trace, view, __version__), output)
        if chosen not in ("json",):
            for assumption in trace.assumptions:
                print(f"assumed: {safe(assumption)}", file=sys.stderr)
        return
    from lstm_cli.render.table import print_trace

    o.show(lambda console: print_trace(console, trace, view), color, output)
