"""`lstm-step report`: a run as a standalone HTML page or as a picture."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, cast

from lstm_cli.base.errors import UsageError
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option
from lstm_cli.files.output import choose_format

if TYPE_CHECKING:
    from lstm_cli.commands.report.making import Kind

EXAMPLES = """\b
A page (.html) is self-contained and needs no network. A picture (.svg, .png, .pdf) is the circuit
of one step with the numbers of one unit, or heat strips or lines over time. --picture chooses
which; else a file name that starts with cell, strips (or gates) or lines; else one step is drawn
as a circuit and several as strips. A circuit is always .svg.

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


Picture = Literal["circuit", "strips", "lines"]
Theme = Literal["auto", "light", "dark"]
# Prefixes of file names that choose the picture.
_NAMES: dict[str, Picture] = {
    "cell": "circuit", "circuit": "circuit", "strips": "strips",
    "gates": "strips", "lines": "lines",
}  # fmt: skip


def report(
    given: i.RunOptions = i.RunOptions(COMMAND),
    picture: Picture | None = option(
        "--picture", default=None, title="Picture", help="What a picture shows."
    ),
    view: o.ViewOptions = o.ViewOptions(digits=o.DigitOptions(None)),
    theme: Theme | None = option(
        "--theme",
        default=None,
        title="Picture",
        help="auto (circuits only) follows the reader's system.",
    ),
    width: float = option(
        "--width",
        default=WIDTH_CM,
        title="Picture",
        metavar="CM",
        help="Width of a picture; 8.5 is one column.",
    ),
    format_: str = option(
        "--format",
        "-f",
        title="Output",
        metavar="FORMAT",
        help="html, svg, png, pdf; by default from the file name.",
    ),
    output: str = option(
        "--output", "-o", metavar="FILE", help="The page or picture; - is stdout."
    ),
) -> None:
    """Make a page of a run, or a picture.

    The page shows the cell as a circuit with all its numbers, heat strips of all steps, the
    equation under the pointer, and sliders that recompute the step.
    """
    kind = _kind(output, format_)
    trace, choice = given.trace("report"), view.choice

    from lstm_cli.commands.report.making import make
    from lstm_cli.files.output import write_out

    named = picture or (None if kind == "html" else _named(output))
    made = make(
        trace, kind, view.view(),
        picture=named, theme=theme,
        width=None if width == WIDTH_CM else width, digits=view.digits.digits,
        given={"--only": choice.only, "--layer": choice.layer, "--direction": choice.direction},
    )  # fmt: skip
    write_out([made], output)
    i.say_assumed(trace.assumptions, trace.engine)


def _kind(output: str, format_: str) -> Kind:
    """Return the given format, or the one implied by the file name."""
    if not output:
        raise UsageError("a page or a picture needs a file", where=COMMAND, hint="-o page.html")
    return cast("Kind", choose_format(output, format_, False, FORMATS))


def _named(output: str) -> Picture | None:
    """Return the kind of picture that a file name chooses."""
    word = re.match(r"[a-z]*", PurePath(output).stem.lower())
    return _NAMES.get(word[0]) if word else None
