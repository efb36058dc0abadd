"""What was edited, in words, and the vectors that run it again."""

from __future__ import annotations

from collections.abc import Iterator

from lstm_cli.base.errors import safe
from lstm_cli.base.paste import rows_text
from lstm_cli.cell.notation import UNICODE, is_parameter, number_text
from lstm_cli.commands.explore.state import Session, first_step, number_at
from lstm_cli.files.output import plain_list

# A longer command is for nobody to read or to paste.
MAX_COMMAND = 4000


def edit_lines(session: Session) -> Iterator[str]:
    """Yield a line for each edit: `edited: x_t[2] of step 1: 0.25 → 0.5`."""
    several = len(session.given.layers) > 1
    for edit in session.edits:
        run, name, index = edit.place.run, edit.place.name, edit.place.index
        each = session.given.layers[run]
        inside, step = index, ""
        if not is_parameter(name):
            inside, step = index[1:], f" of step {index[0]}"
        where = f" (layer {each.layer} {each.direction})" if several and name != "x" else ""
        shown = f"{UNICODE.name(safe(name))}[{', '.join(map(str, inside))}]{step}{where}"
        before = number_at(session.given, edit.place)
        yield f"edited: {shown}: {number_text(before)} → {number_text(edit.value)}"


def repeated_vectors(session: Session) -> dict[str, str] | None:
    """Return `--x`, `--h`, `--c` of the edited run where they were edited.

    None where options cannot say the edits: a weight, a state in the middle of the sequence, states
    of layers that differ in size, or vectors too long for a line.
    """
    given, trace = session.given, session.trace
    vectors: dict[str, str] = {}
    for edit in session.edits:
        name, run = edit.place.name, edit.place.run
        if name == "x":
            vectors["--x"] = rows_text(plain_list(trace.layers[0].values["x"], trace.dtype))
        elif is_parameter(name) or edit.place.index[0] != first_step(given.layers[run]):
            return None
        else:
            states = [each.at(first_step(each))[name] for each in trace.layers]
            if len({len(state) for state in states}) > 1:
                return None
            vectors[f"--{name[0]}"] = rows_text(
                [plain_list(state, trace.dtype) for state in states]
            )
    return vectors if sum(map(len, vectors.values())) <= MAX_COMMAND else None
