"""The stored record as tables, for a terminal and for the README: figures, no judgement.

A multiple is how many times our time another takes: above 1 we are ahead, and what is below 1
stands in bold. In brackets are its quartiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.common import Record
from benchmarks.peers import NEEDED, OURS

NONE = "–"
# Those of our engines that a table names beside the best one.
PLAIN = "numpy"


@dataclass(frozen=True)
class Table:
    """Rows of texts under a heading; the columns from `numbers` on are set to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: int = 1

    def as_markdown(self) -> str:
        """Return the table in Markdown, without its title."""
        rules = ["---" if place < self.numbers else "---:" for place in range(len(self.columns))]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.columns, rules, *self.rows))


# ---- numbers


def figure(value: float) -> str:
    """Return three digits of a number, without an exponent."""
    return f"{float(f'{value:.3g}'):,.10g}"


def microseconds(value: float) -> str:
    return figure(1e6 * value)


def milliseconds(value: float) -> str:
    return figure(1e3 * value)


def megabytes(value: float) -> str:
    return figure(value / 1e6)


def spread(three: Sequence[float], show: Callable[[float], str] = figure) -> str:
    """Return a median with its quartiles."""
    low, middle, high = map(show, three)
    return f"{middle} ({low}–{high})"


def multiple(three: Sequence[float] | None) -> str:
    """Return how many times ours another is, bold where it is ahead."""
    if three is None:
        return NONE
    shown = spread(three)
    return f"**{shown}**" if three[1] < 1 else shown


# ---- what a row of the grid says


def best(row: Record) -> str:
    """Return our fastest engine on a row."""
    if "best" in row:
        return str(row["best"])
    return min((name for name in OURS if name in row["seconds a step"]),
               key=lambda name: float(row["seconds a step"][name][1]))  # fmt: skip


def of_best(row: Record, other: str) -> list[float] | None:
    """Return the quartiles of another's time as a multiple of our best engine's."""
    found: list[float] | None = row["times ours"].get(other)
    return found


def step_of(row: Record, name: str) -> float:
    """Return somebody's median seconds a step."""
    return float(row["seconds a step"][name][1])


def peers_in(rows: Iterable[Record]) -> list[str]:
    """Return the peers that took part in any of the rows."""
    found = {name for row in rows for name in row["seconds a step"]}
    return [name for name in NEEDED if name in found]


def ahead(row: Record) -> list[str]:
    """Return the peers that are faster than our best engine on a row."""
    return [name for name in peers_in([row]) if (of_best(row, name) or [0, 1, 0])[1] < 1]


def name_of(row: Record) -> str:
    """Return the sizes of a row as the tables have them: T, N, I, H, type."""
    return ", ".join([*map(str, row["sizes"]), row["dtype"]])


# ---- tables


def kernel(record: Record) -> Table:
    peers = peers_in(record["rows"])
    rows = tuple(
        (
            name_of(row),
            best(row),
            spread(row["seconds a step"][best(row)], microseconds),
            *(multiple(of_best(row, name)) for name in peers),
            NONE if best(row) == PLAIN else spread(of_best(row, PLAIN) or []),
            spread(of_best(row, "floor") or []),
        )
        for row in record["rows"]
    )
    columns = ("T, N, I, H, type", "engine", "µs a step", *peers, "without numba", "floor")
    return Table("Every gate of every step", columns, rows, 2)


def startup(record: Record) -> Table:
    rows = tuple(
        (
            row["command"],
            spread(row["seconds"]["wall"], milliseconds),
            row["base"],
            *(spread(row["times base"][clock]) for clock in ("wall", "cpu")),
            f"≤ {row['most']}" if row["most"] else f"≥ {row['least']}" if row["least"] else "",
        )
        for row in record["rows"]
    )
    columns = ("command", "ms", "a multiple of", "by the wall", "by processor time", "goal")
    return Table("Start-up", columns, rows)


def batch(record: Record) -> Table:
    rows = tuple(
        (
            row["file"],
            spread(row["seconds a sample"]["batch"], microseconds),
            spread(row["times"]["copy"]),
            spread(row["times"]["answers"]),
        )
        for row in record["rows"]
    )
    columns = ("file", "µs a sample", "times reading and writing it", "times writing answers")
    return Table("A batch", columns, rows)


def memory(record: Record) -> Table:
    rows = tuple(
        (
            row["name"],
            name_of(row),
            megabytes(row["trace bytes"]),
            megabytes(row["bytes"][1]),
            spread(row["growth of the trace"]),
        )
        for row in record["rows"]
    )
    columns = ("", "T, N, I, H, type", "trace, MB", "peak, MB", "growth / trace")
    return Table("Memory", columns, rows, 2)


def growth(record: Record) -> Table:
    rows = [row for axis in record["axes"].values() for row in axis]
    names = [*(name for name in OURS if name in rows[0]["seconds a step"]), *peers_in(rows)]
    shown = tuple(
        (
            axis,
            name_of(row),
            *(microseconds(step_of(row, each)) if each in row["seconds a step"] else NONE
              for each in names),
        )
        for axis, rows in record["axes"].items()
        for row in rows
    )  # fmt: skip
    return Table("Growth, µs a step", ("against", "T, N, I, H, type", *names), shown, 2)


TABLES: dict[str, Callable[[Record], Table]] = {
    "kernel": kernel,
    "startup": startup,
    "batch": batch,
    "memory": memory,
    "growth": growth,
}
