"""Several calls in a row, states carried over: where one ends and the next begins.

`calls` are the lengths of consecutive calls, such as (10, 10); () is a single one. A forward
direction computes what one run does. A backward direction starts anew at the end of each call, from
the state that it had at the end of the call before: so do the frameworks where (h_n, c_n) of a call
are given to the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lstm_cli.base.errors import ShapeError, UsageError, safe
from lstm_cli.cell.weights import Direction

Calls = tuple[int, ...]
# The first and the last input time of a call, from 1.
Span = tuple[int, int]

_PART = r"([0-9]{1,9})(?:[x×]([0-9]{1,9}))?"


def calls_of(given: Sequence[int] | str | None, steps: int) -> Calls:
    """Return the lengths of calls that make up a run of some steps.

    Args:
        given: the lengths, or text: `10,10`; `1x20` is twenty calls of one step. None, "" or no
            lengths are a single call, ().
        steps: T.

    Raises:
        UsageError: no lengths from 1.
        ShapeError: they do not add up to T.
    """
    parts = _parts("" if given is None else given)
    total = sum(length * times for length, times in parts)
    if not parts or total == steps:
        return tuple(length for length, times in parts for _ in range(times))
    first = parts[0][0]
    hint = f"--calls {first}x{steps // first}" if not steps % first else f"--calls 1x{steps}"
    raise ShapeError(f"--calls has {total} steps, the run has {steps}", where="--calls", hint=hint)


def _parts(given: Sequence[int] | str) -> list[tuple[int, int]]:
    """Return pairs of a length and how many calls have it."""
    texts = given.replace(",", " ").split() if isinstance(given, str) else [*map(str, given)]
    matches = [re.fullmatch(_PART, text) for text in texts]
    parts = [(int(found[1]), int(found[2] or 1)) for found in matches if found]
    shown = given if isinstance(given, str) else ", ".join(texts)
    if len(parts) < len(texts) or not all(map(all, parts)) or (shown and not parts):
        raise UsageError(
            f"--calls has '{safe(shown[:80])}', not lengths from 1", where="--calls",
            hint="--calls 10,10, or --calls 1x20 for twenty calls of one step",
        )  # fmt: skip
    return parts


def need_single(calls: Sequence[int] | str, what: str) -> None:
    """Refuse calls where `what` is of a single one.

    Raises:
        UsageError: with what to do.
    """
    if calls:
        raise UsageError(
            f"{what} is of a single call, but calls are given", where="--calls",
            hint="leave them out, or take one call: its steps as x, and the states it starts from",
        )  # fmt: skip


def spans_of(calls: Calls, steps: int) -> list[Span]:
    """Return the first and the last input time of each call."""
    spans, end = [], 0
    for length in calls or (steps,):
        spans.append((end + 1, end + length))
        end += length
    return spans


def order_of(direction: Direction, calls: Calls, steps: int) -> Sequence[int]:
    """Return the places of the steps, from 0, in the order in which they are computed.

    It is its own inverse.
    """
    if direction == "forward":
        return range(steps)
    if len(calls) < 2:
        return range(steps - 1, -1, -1)
    return [t for start, end in spans_of(calls, steps) for t in range(end - 1, start - 2, -1)]
