"""The widgets: a panel, the editor line, the help screen."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from lstm_cli.base.errors import safe

HELP = """\
Every number of a step, row by row, as the cell's table computes them.

  ↑ ↓        the row above, below         , .        a step back, on
  ← →        the unit before, after       PgUp PgDn  the same
  Shift ↑…   ten at a time                Home End   first, last step
  l          next layer or direction      space      play, stop
  n          joined or split notation

  e, Enter   edit the number: x, h_{t−1}, C_{t−1}, a weight, a bias
  w          the weights that enter the row, and back
  u  U       undo the last edit, redo     r          undo all of them
  d          what the edits changed (Δ), and back to the values

  q          quit, as Escape and Ctrl-C, and print what was edited

  ▸  the selected number     →  rows that the selected row reads
  ◆  edited by you           ←  rows that read the selected row
  *  differs from the run as it was given

A row is the same equation at every step; only its numbers differ.
Edit C_{t−1} or h_{t−1} of a later step, and the run goes on from
there. Colours: from dark (0) to light (1) where a row stays within
0 … 1, else from blue (negative) to orange (positive).
"""


class Panel(Static):
    """A part of the screen: drawn text, in which no markup is interpreted."""

    def __init__(self, name: str) -> None:
        super().__init__("", id=name, markup=False)

    def show(self, text: Text, height: int) -> None:
        """Show a text in so many lines; 0 hides the panel."""
        self.display = height > 0
        self.styles.height = height
        self.update(text)


class Editor(Horizontal):
    """A line to type a number in, after its name."""

    def compose(self) -> ComposeResult:
        """Yield the two parts."""
        yield Static("", id="asked", markup=False)
        yield Input(id="typed", compact=True, max_length=400)

    def ask(self, name: str, number: str) -> None:
        """Show the line with the number selected, ready to be replaced."""
        self.query_one("#asked", Static).update(Text(f" {safe(name)} = "))
        self.display = True
        typed = self.query_one(Input)
        typed.value = number
        typed.focus()
        typed.action_select_all()

    def close(self) -> None:
        """Hide the line and return the keys to the app."""
        self.display = False
        self.screen.set_focus(None)


class Help(ModalScreen[None]):
    """What the keys do and what the marks mean."""

    AUTO_FOCUS = "#help"  # so that the arrows scroll it
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss", "back"),
        ("q", "dismiss", "back"),
        ("question_mark", "dismiss", "back"),
        ("enter", "dismiss", "back"),
    ]

    def compose(self) -> ComposeResult:
        """Yield the page, which scrolls on a low screen."""
        with VerticalScroll(id="help"):
            yield Static(Text(HELP), markup=False)
            yield Static(Text("Escape goes back.", "dim"), markup=False)
