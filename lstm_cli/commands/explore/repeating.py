"""What was edited, in words, and the vectors that repeat the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import safe
from lstm_cli.base.numbers import shortest
from lstm_cli.base.paste import rows_text
from lstm_cli.cell.notation import UNICODE, is_parameter
from lstm_cli.engine.edits import EditedRun, first_step
from lstm_cli.files.output import plain_list

# Nobody reads or pastes a longer command.
MAX_COMMAND = 4000


def edit_lines(session: EditedRun) -> Iterator[str]:
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
        before = session.was(edit.place)
        yield f"edited: {shown}: {shortest(before)} → {shortest(edit.value)}"


def repeated_vectors(session: EditedRun) -> dict[str, str] | None:
    """Return `--x`, `--h`, `--c` of the edited run, those that were edited.

    None if options cannot express the edits: a weight, a state in the middle of the sequence,
    states of layers that differ in size, or vectors too long for a line.
    """
    (x, h, c), dtype = session.trace.inputs, session.trace.dtype
    rows: dict[str, Sequence[Array]] = {"x": list(x), "h_prev": h, "c_prev": c}
    vectors: dict[str, str] = {}
    for edit in session.edits:
        name, run = edit.place.name, edit.place.run
        in_the_middle = edit.place.index[0] != first_step(session.given.layers[run])
        if (
            name not in rows
            or (name != "x" and in_the_middle)
            or len(set(map(len, rows[name]))) > 1
        ):
            return None
        vectors[f"--{name[0]}"] = rows_text([plain_list(row, dtype) for row in rows[name]])
    return vectors if sum(map(len, vectors.values())) <= MAX_COMMAND else None
