"""A run as a page or a picture, as Python asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.base.version import __version__
from lstm_cli.cell.notation import Notation
from lstm_cli.engine.run import Trace, need_trace, need_whole
from lstm_cli.show.rows import (
    Choice,
    View,
    checked_view,
    chosen_units,
    last_step,
    place_of,
    shown_layers,
    strongest_unit,
    view_from,
)

Kind: TypeAlias = Literal["html", "svg", "png", "pdf"]
Picture: TypeAlias = Literal["circuit", "strips", "lines"]
Theme: TypeAlias = Literal["auto", "light", "dark"]

COMMAND = "lstm-step report"
WIDTH_CM = 8.5


def report(
    trace: Trace,
    kind: Kind = "html",
    *,
    picture: Picture | None = None,
    unit: Choice = None,
    at: Choice = None,
    only: str | Sequence[str] = (),
    layer: int | None = None,
    direction: str = "",
    theme: Theme | None = None,
    width: float | None = None,
    notation: Notation = "joined",
    digits: int | None = None,
) -> str | bytes:
    """Make a self-contained page of a run, or a picture.

    Args:
        trace: a run of one sample.
        kind: "html" is the page; "svg", "png" or "pdf" a picture. A circuit is always "svg".
        picture: "circuit", "strips" or "lines"; None is a circuit of a single step, and strips of
            several.
        unit: the units, from 0: 2, [0, 3], "0:3"; None is the one with the largest |h| in a page or
            a circuit, and all else.
        at: the steps, from 1, likewise; None is the first in a page, the last in a circuit.
        only: the symbols in strips or lines, () is the gates and states; or an address,
            "layer1.backward.f[3]@7".
        layer: the only layer in a picture, from 0; a circuit shows the last of those there are.
        direction: the only direction in a picture.
        theme: "light", "dark", or of a circuit "auto", which follows the reader's system.
        width: of a picture, in cm; None is 8.5.
        notation: "joined" or "split".
        digits: decimals; None is 6, and 3 in a circuit.

    Returns:
        The page or a circuit as text, another picture as the bytes of its file.

    Raises:
        ArgumentError: `trace` is no run; the error says what to call.
        InputError: a run of several samples, or a package that is missing.
        UsageError: no such kind, picture, symbol, unit or step; what has no effect on a picture.
    """
    need_trace(trace, "report", single=True)
    view = view_from(unit, at, only, layer, direction, notation, 6 if digits is None else digits)
    given = {"--only": only, "--layer": layer, "--direction": direction}
    return make(trace, kind, view, picture=picture, theme=theme, width=width, digits=digits,
                given=given)  # fmt: skip


def make(
    trace: Trace,
    kind: Kind,
    view: View,
    *,
    picture: Picture | None,
    theme: Theme | None,
    width: float | None,
    digits: int | None,
    given: Mapping[str, object],
) -> str | bytes:
    """Make what `report` returns; `given` are the options that not every picture has a use for."""
    for name, value, form in (("format", kind, Kind), ("picture", picture, Picture),
                              ("theme", theme, Theme)):  # fmt: skip
        if value is not None and value not in get_args(form):
            raise UsageError(f"unknown {name} '{safe(value)}'", where=f"--{name}",
                             hint=suggest(str(value), get_args(form)))  # fmt: skip
    what: Picture = picture or ("circuit" if trace.steps == 1 else "strips")
    _refuse_idle("page" if kind == "html" else what,
                 {"--picture": picture, **given, "--theme": theme, "--width": width})  # fmt: skip
    view = checked_view(view, trace)
    wide = WIDTH_CM if width is None else width
    if kind == "html":
        return _page(trace, view)
    if what == "circuit":
        if kind != "svg":
            raise UsageError(
                f"a circuit cannot be written as {kind}", where="--output",
                hint="-o cell.svg, or --picture strips",
            )  # fmt: skip
        return _circuit(trace, view, 3 if digits is None else digits, theme or "light", wide)
    if theme == "auto":
        raise UsageError(
            "only a circuit can have both themes", where="--theme", hint="--theme light or dark"
        )
    from lstm_cli.commands.report.pictures import draw_over_time

    return draw_over_time(trace, view, kind, what=what, width_cm=wide, dark=theme == "dark")


def _refuse_idle(what: str, given: Mapping[str, object]) -> None:
    """Refuse options that have no effect on a page, or on a circuit."""
    for name, value in given.items():
        uses = get_args(Picture)[1:] if name == "--only" else get_args(Picture)
        if value not in (None, "", ()) and what not in uses:
            raise UsageError(
                f"{name} has no effect on a {what}", where=COMMAND,
                hint=f"leave out {name}, or make a picture that it applies to: {', '.join(uses)}",
            )  # fmt: skip


def _page(trace: Trace, view: View) -> str:
    from lstm_cli.commands.report.page import PageView, page

    # A page starts with the first of the selection.
    first = trace.layers[0]
    need_whole(trace, "the page", gaps=True)
    t = trace.chosen_steps(view.at, "--at")[0] if view.at else 1
    unit = chosen_units(view, view.widest)[0] if view.units else strongest_unit(first, t)
    return page(trace, PageView(unit, t, view.digits, view.notation), __version__)


def _circuit(trace: Trace, view: View, digits: int, theme: str, width: float) -> str:
    """Draw one step with the numbers of one unit.

    Raises:
        UsageError: several are selected.
    """
    from lstm_cli.commands.report.svg import picture_of_step

    layers = shown_layers(trace, view)
    each = next(own for own in layers if own.layer == layers[-1].layer)
    times = trace.chosen_steps(view.at, "--at") if view.at else [last_step(each)]
    size = each.values["c"].shape[-1]
    units = chosen_units(view, size) if view.units else [strongest_unit(each, times[0])]
    if not units:
        raise UsageError(
            f"--unit {safe(view.units)}: this run has units 0 to {size - 1}", where="--unit",
            hint="--unit 0",
        )  # fmt: skip
    for name, chosen in (("--at", times), ("--unit", units)):
        if len(chosen) != 1:
            raise UsageError(
                f"{name} selects {len(chosen)}, but a circuit shows one", where=name,
                hint=f"{name} {chosen[0]}",
            )  # fmt: skip
    (t,), (unit,) = times, units
    step = place_of(each, t, trace).replace("step", f"unit {unit} of {size}, step")
    note = f"{trace.model.cell.name}, {step}"
    return picture_of_step(each, t, unit, note=note, digits=digits, theme=theme, width_cm=width)
