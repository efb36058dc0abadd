"""`lstm-step report`: a run as a standalone HTML page or as a picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from lstm_cli.base.errors import UsageError, safe
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option
from lstm_cli.files.output import choose_format

if TYPE_CHECKING:
    from lstm_cli.commands.report.picture_files import Kind
    from lstm_cli.commands.report.picture_plan import What
    from lstm_cli.engine.run import LayerTrace, Trace
    from lstm_cli.show.rows import View

EXAMPLES = """\b
A page (.html) is self-contained and needs no network. A picture (.svg, .png, .pdf) is the circuit
of one step with the numbers of one unit, or heat strips or lines over time. --picture chooses;
otherwise a file name that starts with cell, strips (or gates) or lines does; otherwise one step
is drawn as a circuit and several as strips. A circuit is always .svg.

\b
Examples:
  lstm-step report --x "1;0;1;1;0" -w samples/weights/parity.npz -o page.html
  lstm-step report --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1 -o cell.svg
  lstm-step report --x @x.npy -w model.npz -o gates.svg --only f,i,c --unit 0:16
  lstm-step report --x @x.npy -w model.npz -o lines.png --only f,c --unit 3,7 --theme dark
"""
FIRST = ("--x", "--weights", "--output")

COMMAND = "lstm-step report"
FORMATS = ["html", "svg", "png", "pdf"]
WIDTH_CM = 8.5


class Picture(StrEnum):
    """What a picture shows."""

    CIRCUIT = "circuit"
    STRIPS = "strips"
    LINES = "lines"


class Theme(StrEnum):
    """Colour theme of a picture."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


# Prefixes of file names that choose the picture.
_NAMES = {
    "cell": Picture.CIRCUIT, "circuit": Picture.CIRCUIT, "strips": Picture.STRIPS,
    "gates": Picture.STRIPS, "lines": Picture.LINES,
}  # fmt: skip


def report(
    given: i.RunOptions = i.RunOptions(COMMAND),
    picture: Picture | None = option("--picture", default=None, help="What a picture shows."),
    choice: o.ChoiceOptions = o.ChoiceOptions(),
    theme: Theme | None = option(
        "--theme", default=None, help="auto (circuits only) follows the reader's system."
    ),
    width: float = option(
        "--width", default=WIDTH_CM, metavar="CM", help="Width of a picture; 8.5 is one column."
    ),
    notation: o.NotationOptions = o.NotationOptions(),
    digits: o.DigitOptions = o.DigitOptions(None),
    format_: str = option(
        "--format",
        "-f",
        default="",
        metavar="FORMAT",
        help="html, svg, png, pdf; default: by the file name.",
    ),
    output: str = option(
        "--output", "-o", default="", metavar="FILE", help="The page or picture; - is stdout."
    ),
) -> None:
    """Make a page of a run, or a picture.

    The page shows the cell as a circuit with every number in it, strips of all steps, the equation
    under the pointer, and sliders that recompute the step.
    """
    kind = _kind(output, format_)
    trace = given.trace("report")
    what = "page" if kind == "html" else _what(picture, output, trace).value
    _refuse_idle(what, {
        "--picture": picture, "--only": choice.only, "--layer": choice.layer,
        "--direction": choice.direction, "--theme": theme,
        "--width": width if width != WIDTH_CM else None,
    })  # fmt: skip

    from lstm_cli.files.output import write_out
    from lstm_cli.show.rows import checked_view

    view = checked_view(o.ViewOptions(choice, notation, digits).view(), trace)
    if kind == "html":
        made: str | bytes = _page(trace, view)
    elif what == "circuit":
        _refuse_kind(kind)
        seen = _in_view(trace, view)
        made = _circuit(trace, seen, digits.number(3), theme or Theme.LIGHT, width)
    else:
        made = _over_time(trace, view, kind, what, theme, width)
    write_out([made], output)
    i.say_assumed(trace.assumptions)


def _kind(output: str, format_: str) -> str:
    """Return the format: the given one, or by the file name.

    Raises:
        UsageError: no file, or a name without a known suffix.
    """
    if not output:
        raise UsageError("a page or a picture needs a file", where=COMMAND, hint="-o page.html")
    return choose_format(output, format_, False, FORMATS)


def _what(picture: Picture | None, output: str, trace: Trace) -> Picture:
    """Choose the kind of picture: the given one, by the file name, or by the run."""
    if picture is not None:
        return picture
    word = re.match(r"[a-z]*", PurePath(output).stem.lower())
    if word and word[0] in _NAMES:
        return _NAMES[word[0]]
    return Picture.CIRCUIT if trace.steps == 1 else Picture.STRIPS


# The pictures that each option affects.
_USES = {
    "--picture": ("circuit", "strips", "lines"),
    "--only": ("strips", "lines"),
    "--layer": ("circuit", "strips", "lines"),
    "--direction": ("circuit", "strips", "lines"),
    "--theme": ("circuit", "strips", "lines"),
    "--width": ("circuit", "strips", "lines"),
}


def _refuse_idle(what: str, given: dict[str, object]) -> None:
    for name, value in given.items():
        if value not in (None, "") and what not in _USES[name]:
            raise UsageError(
                f"{name} has no effect on a {what}" if what in ("page", "circuit")
                else f"{name} has no effect on {what}",
                where=COMMAND, hint=f"leave out {name}, or make a picture that it applies to: "
                + ", ".join(_USES[name]),
            )  # fmt: skip


def _refuse_kind(kind: str) -> None:
    if kind != "svg":
        raise UsageError(
            f"a circuit cannot be written as {kind}", where="--output",
            hint="-o cell.svg, or --picture strips",
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a circuit shows: a run of the stack, the step (from 1) and the unit (from 0)."""

    each: LayerTrace
    t: int
    unit: int


def _in_view(trace: Trace, view: View) -> _Seen:
    """Return the single unit and step to show.

    Raises:
        UsageError: several are selected.
    """
    from lstm_cli.base.address import choose
    from lstm_cli.show.rows import chosen_units, shown_layers, strongest_unit
    from lstm_cli.show.terminal import last_step

    layers = shown_layers(trace, view)
    each = next(own for own in layers if own.layer == layers[-1].layer)
    times = choose(view.at, trace.steps, "--at", first=1) if view.at else [last_step(each)]
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
    return _Seen(each, times[0], units[0])


def _page(trace: Trace, view: View) -> str:
    from lstm_cli.base.address import choose
    from lstm_cli.base.version import __version__
    from lstm_cli.commands.report.page import PageView, page
    from lstm_cli.show.rows import chosen_units, strongest_unit

    # A page starts with the first of the selection.
    first = trace.layers[0]
    t = choose(view.at, trace.steps, "--at", first=1)[0] if view.at else 1
    unit = chosen_units(view, view.widest)[0] if view.units else strongest_unit(first, t)
    return page(trace, PageView(unit, t, view.digits, view.notation), __version__)


def _circuit(trace: Trace, seen: _Seen, digits: int, theme: Theme, width: float) -> str:
    from lstm_cli.commands.report.svg import picture_of_step

    place = f"layer {seen.each.layer} {seen.each.direction}, " if len(trace.layers) > 1 else ""
    size = seen.each.values["c"].shape[-1]
    step = f"step {seen.t} of {trace.steps}"
    note = f"{trace.model.cell.name}, {place}unit {seen.unit} of {size}, {step}"
    return picture_of_step(
        seen.each, seen.t, seen.unit, note=note, digits=digits, theme=theme.value, width_cm=width
    )


def _over_time(
    trace: Trace, view: View, kind: str, what: str, theme: Theme | None, width: float
) -> bytes:
    from lstm_cli.commands.report.pictures import draw_over_time

    if theme is Theme.AUTO:
        raise UsageError(
            "only a circuit can have both themes", where="--theme", hint="--theme light or dark"
        )
    return draw_over_time(
        trace, view, cast("Kind", kind), what=cast("What", what), width_cm=width,
        dark=theme is Theme.DARK,
    )  # fmt: skip
