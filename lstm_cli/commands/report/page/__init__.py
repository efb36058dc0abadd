"""A run as a self-contained page: the circuit, the strips, and sliders that recompute.

The page holds the inputs of every step (weights, and x, h and c over time) and the cell's table as
data; its script computes every other value from them, using the trees and functions of
`equations`, so no formula is hard-coded in the script. Untrusted names reach the page as escaped
text or as JSON, and its content security policy allows this script and no other.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import UsageError, imported, safe
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import Apply, Name, Node, Number, function_named, functions_in
from lstm_cli.cell.notation import UNICODE, Notation, write
from lstm_cli.commands.report.svg import RULES, circuit_svg, variables
from lstm_cli.engine.run import STATES, LayerTrace, Trace, rounded
from lstm_cli.show.arithmetic import GATHERED, MOST_TERMS
from lstm_cli.show.circuit import Drawing, draw
from lstm_cli.show.colours import NOT_FINITE, RAMPS, scale_of
from lstm_cli.show.rows import INPUT_LABELS, definitions, equation_text, run_facts

if TYPE_CHECKING:
    from jinja2 import Environment

# A larger page is slow to open; a browser holds its numbers twice.
MAX_BYTES = 64 * 2**20
# The script's files in dependency order.
SCRIPTS = ("numbers.js", "arithmetic.js", "model.js", "worked.js", "words.js", "circuit.js",
           "strips.js", "sliders.js", "page.js")  # fmt: skip


@dataclass(frozen=True)
class PageView:
    """Initial view of a page: unit (from 0), step (from 1), notation and digits."""

    unit: int = 0
    t: int = 1
    digits: int = 6
    notation: Notation = "joined"


def page(trace: Trace, look: PageView, version: str) -> str:
    """Render an unbatched run as an HTML page.

    Raises:
        InputError: jinja2 is not installed.
        UsageError: the page would be larger than `MAX_BYTES`.
    """
    _check_size(trace)
    environment = _environment()
    # One layer and direction of each kind that needs a drawing of its own.
    first: dict[Hashable, LayerTrace] = {}
    for each in trace.layers:
        first.setdefault(_kind(each), each)
    kinds = list(first.values())
    script = _script()
    style = variables("page") + RULES + _file("page.css")
    return environment.get_template("page.html").render(
        trace=trace,
        title=_title(trace),
        facts=[safe(each) for each in run_facts(trace)],
        assumptions=[safe(each) for each in trace.assumptions],
        circuits=[circuit_svg(draw(each.cell), sizes=_sizes(each)) for each in kinds],
        definitions=[definitions(each.cell, UNICODE) for each in kinds],
        data=_data(trace, kinds, look),
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
        version=version,
    )


def _environment() -> Environment:
    jinja2 = imported("jinja2", "a page needs the jinja2 package", "report", "report")
    environment: Environment = jinja2.Environment(
        loader=jinja2.DictLoader({"page.html": _file("page.html")}),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    return environment


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _script() -> str:
    parts = "\n".join(_file(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _hash(text: str) -> str:
    """Return the hash that allows a script or style in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _check_size(trace: Trace) -> None:
    numbers = sum(
        sum(array.size for array in each.weights.arrays.values())
        + sum(each.values[symbol].size for symbol in ("x", "h", "c"))
        for each in trace.layers
    )
    size = numbers * 11  # eight bytes in base64
    if size > MAX_BYTES:
        raise UsageError(
            f"the page would take about {size / 2**20:.0f} MB, more than {MAX_BYTES // 2**20}",
            where="report",
            hint="--steps shortens a long run; --lstm selects from a file; a picture (.svg, .png) "
            "has no such limit",
        )


def _kind(each: LayerTrace) -> Hashable:
    """Return what a drawing of a layer and direction depends on: its rows and their sizes."""
    return each.cell.equations, *_sizes(each).items()


def _sizes(each: LayerTrace) -> dict[str, int]:
    return {symbol: values.shape[-1] for symbol, values in each.values.items()}


# ---- words


def _title(trace: Trace) -> str:
    steps = "one step" if trace.steps == 1 else f"{trace.steps} steps"
    return f"{safe(trace.model.cell.name)}, {steps}"


# ---- data


def _data(trace: Trace, kinds: Sequence[LayerTrace], look: PageView) -> dict[str, Any]:
    """Data that the page's script computes from, as JSON."""
    return {
        "view": {"unit": look.unit, "t": look.t, "digits": look.digits},
        "single": trace.dtype == np.float32,
        "ramps": {name: list(ramp) for name, ramp in RAMPS.items()},
        "notFinite": NOT_FINITE,
        "cells": [_cell(each.cell, look.notation) for each in kinds],
        "runs": [_run(trace, place, kinds) for place in range(len(trace.layers))],
    }


def _cell(cell: Cell, notation: Notation) -> dict[str, Any]:
    written = equation_text(cell, UNICODE, notation)
    drawing = draw(cell)
    rows = [
        {"symbol": row.symbol, "shown": written[row.symbol][0], "label": safe(row.label),
         "equation": written[row.symbol][1], "tree": tree_json(row.expression)}
        for row in cell.equations
    ]  # fmt: skip
    inputs = [
        {"symbol": symbol, "shown": UNICODE.name(symbol), "label": label}
        for symbol, label in INPUT_LABELS.items()
    ]
    return {
        "name": safe(cell.name),
        "inputs": inputs,
        "rows": rows,
        "parts": _parts(drawing, cell),
        "functions": _functions(cell),
        "rules": _rules(notation),
    }


def _rules(notation: Notation) -> dict[str, Any]:
    """Return the rules for working out a number, which the terminal output also follows."""
    return {
        "split": notation == "split",
        "mostTerms": MOST_TERMS,
        "gathered": GATHERED,
        "operators": dict(UNICODE.operators),
        "functions": dict(UNICODE.functions),
        "scale": UNICODE.scale,
    }


def _parts(drawing: Drawing, cell: Cell) -> dict[str, Any]:
    """Return the expressions in the circuit that are not rows of the table."""
    known = {*cell.symbols, *INPUT_LABELS}
    return {
        key: {"equation": write(node, UNICODE), "tree": tree_json(node)}
        for key, node in drawing.nodes.items()
        if key not in known
    }


def _functions(cell: Cell) -> dict[str, Any]:
    """Return the functions that a cell uses and that have a body, as trees."""
    found: dict[str, Any] = {}
    waiting = [row.expression for row in cell.equations]
    while waiting:
        for name in functions_in(waiting.pop()):
            function = function_named(name)
            inside = function.formula or function.body
            if inside is not None and name not in found:
                opens = function.textbook or function.body  # the next stage
                found[name] = {"parameters": list(function.parameters),
                               "defaults": list(function.defaults),
                               "tree": tree_json(inside),
                               "opens": tree_json(opens) if opens else None,
                               "textbook": function.textbook is not None}  # fmt: skip
                waiting.append(inside)
    return found


def tree_json(node: Node) -> Any:
    """Return a tree as JSON: a number, a name, or `[function, argument, …]`."""
    match node:
        case Number(value):
            return value
        case Name(name):
            return name
        case Apply(function, arguments):
            return [function, *map(tree_json, arguments)]


def _run(trace: Trace, place: int, kinds: Sequence[LayerTrace]) -> dict[str, Any]:
    """Return the weights of one layer in one direction, and its x, h and c over time."""
    each = trace.layers[place]
    scales = {symbol: scale_of(values, symbol) for symbol, values in each.values.items()}
    below = [i for i, other in enumerate(trace.layers) if other.layer == each.layer - 1]
    return {
        "title": f"layer {each.layer} {each.direction}",
        "cell": list(map(_kind, kinds)).index(_kind(each)),
        "backward": each.direction == "backward",
        "steps": each.steps,
        **({"before": _before(each)} if each.calls else {}),
        "parameters": {
            name: _packed(rounded(array, trace.dtype))
            for name, array in each.weights.arrays.items()
        },
        # A layer's input is the output of the one below.
        "x": {"below": below} if below else _packed(each.values["x"]),
        "start": {state: _packed(each.initial(state)) for state in STATES},
        "h": _packed(each.values["h"]),
        "c": _packed(each.values["c"]),
        "scales": {symbol: [scale.ramp, scale.low, scale.high] for symbol, scale in scales.items()},
        "usual": {symbol: _usual(values) for symbol, values in each.values.items()},
    }


def _before(each: LayerTrace) -> list[int]:
    """Return the step computed before each one, 0 for none: after a call, the end of the next."""
    before = dict(zip(each.order[1:], each.order, strict=False))
    return [before.get(place, -1) + 1 for place in range(each.steps)]


def _usual(values: Array) -> list[float]:
    """Return each unit's median over time, against which a single step can stand out."""
    finite = np.where(np.isfinite(values), values, 0.0)
    return [float(each) for each in np.sort(finite, axis=0)[len(finite) // 2]]


def _packed(array: Array) -> dict[str, Any]:
    """Encode an array as base64 of little-endian float64, or float32 if that is lossless."""
    with np.errstate(over="ignore"):
        narrow = array.astype("<f4")
    exact = np.array_equal(narrow.astype(np.float64), array, equal_nan=True)
    raw = narrow if exact else array.astype("<f8")
    return {
        "shape": list(array.shape),
        "single": exact,
        "data": base64.b64encode(raw.tobytes()).decode(),
    }
