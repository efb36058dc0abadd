"""The terminal app: keys move over rows, units and steps, and edit inputs, states and weights.

The app holds a `Scene`; every key makes a new one, and the whole screen is drawn from it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static

from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.cell.notation import UNICODE, Notation
from lstm_cli.commands.explore import drawing
from lstm_cli.commands.explore import scene as go
from lstm_cli.commands.explore.scene import Cursor, Scene, selected_name
from lstm_cli.engine.edits import EditedRun, EditHistory
from lstm_cli.engine.run import Trace
from lstm_cli.files.vectors import parse_rows

SECONDS_A_STEP = 0.7

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
        ("escape,q,question_mark,enter", "dismiss", "back"),
    ]

    def compose(self) -> ComposeResult:
        """Yield the page, which scrolls on a low screen."""
        with VerticalScroll(id="help"):
            yield Static(Text(HELP), markup=False)
            yield Static(Text("Escape goes back.", "dim"), markup=False)


class ExploreApp(App[EditedRun]):
    """Shows a run and lets it be edited; returns the edited run.

    Args:
        trace: an unbatched run.
        notation: joined or split.
        digits: decimals of the numbers.
    """

    TITLE = "lstm-step explore"
    CSS_PATH = "explore.tcss"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None  # keys go to the app until a number is being typed
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "row(-1)"),
        Binding("down,j", "row(1)"),
        Binding("left", "unit(-1)"),
        Binding("right", "unit(1)"),
        Binding("shift+up", "row(-10)"),
        Binding("shift+down", "row(10)"),
        Binding("shift+left", "unit(-10)"),
        Binding("shift+right", "unit(10)"),
        Binding("comma,pageup", "step(-1)"),
        Binding("full_stop,pagedown", "step(1)"),
        Binding("home", "first_step"),
        Binding("end", "last_step"),
        Binding("space", "play"),
        Binding("l", "next_run"),
        Binding("n", "notation"),
        Binding("w", "weights"),
        Binding("d", "differences"),
        Binding("e,enter", "edit"),
        Binding("u", "undo"),
        Binding("U", "redo"),
        Binding("r", "reset"),
        Binding("question_mark", "help"),
        Binding("escape,q", "leave"),
        Binding("ctrl+c,ctrl+q", "stop", priority=True),
    ]

    def __init__(self, trace: Trace, notation: Notation = "joined", digits: int = 6) -> None:
        # Without colour the terminal's own is kept: no escape of a colour is written at all.
        plain = bool(os.environ.get("NO_COLOR"))
        super().__init__(ansi_color=True if plain else None)
        self.history = EditHistory(trace)
        self.scene = Scene(self.history.now, go.start(trace), notation, digits, colour=not plain)
        self.said = ""
        self.clock: Timer | None = None

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen, from top to bottom."""
        yield from map(Panel, ("head", "table", "strip", "words", "working"))
        yield Editor(id="editor")
        yield Panel("keys")

    def on_mount(self) -> None:
        """Draw for the first time."""
        self.draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.draw()

    def draw(self) -> None:
        """Draw everything from the scene."""
        width, height = self.size
        scene = self.scene
        share = drawing.plan(scene, width, height)
        main = self.screen_stack[0]
        main.set_class(share.gap > 0, "roomy")
        panels = {panel.id: panel for panel in main.query(Panel)}
        if not panels:
            return  # resized before the parts exist
        panels["head"].show(drawing.head(scene, width), 1)
        panels["table"].show(drawing.table(scene, width, share.table), share.table)
        drawn = drawing.strip(scene, width, share.strip) if share.strip else Text()
        panels["strip"].show(drawn, share.strip)
        panels["words"].show(drawing.words(scene, width, share.words, self.said), share.words)
        panels["working"].show(drawing.working(scene, width, share.working), share.working)
        panels["keys"].show(drawing.keys(width), 0 if self.editing else 1)

    def look(self, cursor: Cursor) -> None:
        """Move the cursor."""
        self.said = ""
        self.scene = replace(self.scene, cursor=cursor)
        self.draw()

    def say(self, message: str) -> None:
        """Show a message until the next key that has an effect."""
        self.said = message
        self.draw()

    def follow(self, changed: bool, said: str, otherwise: str) -> None:
        """Show the run after an edit, an undo or a redo, or say why nothing has changed."""
        self.scene = replace(self.scene, session=self.history.now)
        self.say(said if changed else otherwise)

    @property
    def trace(self) -> Trace:
        """The run as it is now."""
        return self.scene.session.trace

    @property
    def editing(self) -> bool:
        """Whether a number is being typed."""
        return bool(self.query_one(Editor).display)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Allow only leaving and quitting while a number is typed or help is open."""
        if action in ("leave", "stop"):
            return True
        return len(self.screen_stack) == 1 and not self.editing

    # ---- moves

    def action_row(self, by: int) -> None:
        """Go to another row."""
        self.look(go.by_row(self.trace, self.scene.cursor, by))

    def action_unit(self, by: int) -> None:
        """Go to another unit."""
        self.look(go.by_unit(self.trace, self.scene.cursor, by))

    def action_step(self, by: int) -> None:
        """Go to another step."""
        cursor = self.scene.cursor
        self.look(go.to_step(self.trace, cursor, cursor.t + by))

    def action_first_step(self) -> None:
        """Go to step 1."""
        self.look(go.to_step(self.trace, self.scene.cursor, 1))

    def action_last_step(self) -> None:
        """Go to the last step."""
        self.look(go.to_step(self.trace, self.scene.cursor, self.trace.steps))

    def action_next_run(self) -> None:
        """Go to the next layer or direction."""
        if len(self.trace.layers) == 1:
            self.say("one layer, one direction: there is no other")
            return
        self.look(go.next_run(self.trace, self.scene.cursor))

    def action_play(self) -> None:
        """Start playing, from the first step if the last one is shown; or stop."""
        if self.clock is not None:
            self.stop_playing()
            return
        if self.scene.cursor.t == self.trace.steps:
            self.action_first_step()
        self.clock = self.set_interval(SECONDS_A_STEP, self.tick)

    def tick(self) -> None:
        """Step forward once; stop at the last step."""
        if self.scene.cursor.t < self.trace.steps and not self.editing:
            self.action_step(1)
        if self.scene.cursor.t == self.trace.steps:
            self.stop_playing()

    def stop_playing(self) -> None:
        """Stop playing."""
        if self.clock is not None:
            self.clock.stop()
            self.clock = None

    # ---- what is shown

    def action_notation(self) -> None:
        """Switch between joined and split notation."""
        other: Notation = "split" if self.scene.notation == "joined" else "joined"
        self.scene = replace(self.scene, notation=other)
        self.say(f"{other} notation")

    def action_weights(self) -> None:
        """Show the parameters that enter the row, or the row again."""
        cursor = self.scene.cursor
        if cursor.weights:
            self.look(replace(cursor, weights=False))
            return
        there = go.to_weights(self.trace, cursor)
        if there is None:
            self.say(f"no weight enters {UNICODE.name(cursor.symbol)}")
        else:
            self.look(there)

    def action_differences(self) -> None:
        """Switch between the values and what the edits changed."""
        if not self.scene.session.edits:
            self.say("nothing is edited: there are no differences (e edits)")
            return
        self.scene = replace(self.scene, differences=not self.scene.differences)
        self.say("differences from the run as it was given" if self.scene.differences else "")

    def action_help(self) -> None:
        """Show what the keys do."""
        self.stop_playing()
        self.push_screen(Help())

    # ---- edits

    def action_edit(self) -> None:
        """Open the editor on the selected number."""
        self.stop_playing()
        try:
            place = go.selected_place(self.trace, self.scene.cursor)
        except LstmStepError as error:
            self.say(f"{error.lines.what}: {error.lines.hint}")
            return
        now = self.scene.session.now(place)
        self.query_one(Editor).ask(selected_name(self.scene), repr(now))
        self.say("type a number, then Enter; Escape cancels")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Apply the number that was typed, or say what is wrong with it."""
        event.stop()
        scene = self.scene
        try:
            place = go.selected_place(self.trace, scene.cursor)
            value = read_number(event.value, selected_name(scene))
            edited = self.history.edit(place, value)
        except LstmStepError as error:
            self.say(f"{error.lines.what}: {error.lines.hint}")
            return
        self.query_one(Editor).close()
        self.follow(edited, "", "the number is the same")

    def action_undo(self) -> None:
        """Undo the last edit or reset."""
        self.follow(self.history.undo(), "undone", "nothing to undo")

    def action_redo(self) -> None:
        """Redo what was undone last."""
        self.follow(self.history.redo(), "redone", "nothing to redo")

    def action_reset(self) -> None:
        """Undo all edits."""
        self.follow(
            self.history.reset(), "as it was given; u brings the edits back", "nothing is edited"
        )

    # ---- the end

    def action_leave(self) -> None:
        """Close the editor if it is open, else leave the app."""
        if self.editing:
            self.query_one(Editor).close()
            self.say("")
            return
        self.action_stop()

    def action_stop(self) -> None:
        """Leave the app at once, even in the middle of an edit."""
        self.exit(self.scene.session)


def read_number(text: str, name: str) -> float:
    """Return the one number that was typed for `name`.

    Raises:
        InputError: not a plain finite number, or more than one.
    """
    rows = parse_rows(text, name, name)
    if rows.size != 1:
        raise InputError(f"{rows.size} numbers for one place", where=name, hint="type one number")
    return float(rows[0, 0])
