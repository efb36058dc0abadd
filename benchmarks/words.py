"""What the tables say, in words that follow from the record alone: where we lose, and why.

Nothing here is known beforehand. A reason is given where a number of the same row is one; where no
number is, that is said.
"""

from __future__ import annotations

import math

from benchmarks.common import Record
from benchmarks.kernel import ACTIVATIONS, FLOOR, PRODUCT, TRACE
from benchmarks.peers import JAX
from benchmarks.tables import (
    ahead,
    best,
    figure,
    megabytes,
    microseconds,
    name_of,
    of_best,
    peers_in,
    step_of,
)
from lstm_cli.engine.choice import SMALL

# A part of our time that is worth a word.
WORTH = 0.1
BATCH_GOAL = 2
FLOOR_GOAL = 1.3
LARGEST = 3
COUNTS = {1: "one thread", 2: "two threads"}


def measured(about: Record) -> str:
    """Return where, when and with what."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    threads = COUNTS.get(about["threads"], f"{about['threads']} threads")
    rounds = about["rounds"]
    clock = "the process's own time; " if about["clock"] == "cpu" else ""
    return (
        f"Measured on {about['date']}: {about['processor']}, {about['cores']} cores, "
        f"{about['system']}, Python {about['python']}, {versions}; {threads} each; {clock}medians "
        f"and quartiles of {turns_of(rounds)}, in which all take part."
    )


def turns_of(rounds: int) -> str:
    return f"{rounds} round{'s' * (rounds != 1)}"


def short(peer: str) -> str:
    """Return a peer's name without what its column says besides."""
    return peer.split(",")[0]


def share(part: float) -> str:
    return f"{100 * part:.0f} %"


def listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# ---- the grid


def kernel(record: Record) -> list[str]:
    """Return the paragraphs under the grid's table."""
    rows = record["rows"]
    return [
        part for part in (standing(rows), losses(rows), floor(rows), automatic(rows)) if part
    ]  # fmt: skip


def standing(rows: list[Record]) -> str:
    peers = peers_in(rows)
    if not peers:
        return "No peer was installed."
    won = sum(not ahead(row) for row in rows)
    return f"Ours is ahead of {listed([*map(short, peers)])} on {won} of {len(rows)} rows."


def losses(rows: list[Record]) -> str:
    """Return who is ahead where, and why, a line a row."""
    return "\n".join(
        f"- **{name_of(row)}**: {lost(row, peers)}. {why(row, peers)}."
        for row in rows
        if (peers := ahead(row))
    )


def lost(row: Record, peers: list[str]) -> str:
    told = [
        f"{short(peer)} takes {microseconds(step_of(row, peer))} µs ({taken(row, peer)})"
        for peer in peers
    ]
    return f"{listed(told)}, ours {microseconds(step_of(row, best(row)))} µs"


def taken(row: Record, peer: str) -> str:
    """Return a peer's part of our time, with a word where the upper quartile has us ahead."""
    _, middle, high = of_best(row, peer) or [1, 1, 1]
    return f"{figure(middle)} of our time{', within the spread' * (high >= 1)}"


def why(row: Record, peers: list[str]) -> str:
    """Return what in our step, or in the fastest peer's, the difference lies in."""
    own = step_of(row, best(row))
    products, activations, writing = (step_of(row, name) for name in FLOOR)
    call = (row["seconds a call"][best(row)] - own) / row["sizes"][0]
    found, left = [], own
    if call > WORTH * own:
        left -= call
        found.append(f"what a run costs whatever its length is {share(call / own)} of "
                     f"ours, without which a step takes {microseconds(left)} µs")  # fmt: skip
    if writing > WORTH * own and set(peers) != {JAX}:
        found.append(f"writing every gate, where others return h, is {share(writing / own)} of "
                     "ours")  # fmt: skip
        left -= writing
    between = own - max(call, 0) - products - activations - writing
    fastest = min(peers, key=lambda peer: step_of(row, peer))
    if quick := quicker(row, fastest):
        found.append(quick)
    elif between > WORTH * own:
        found.append(f"{PRODUCT}, {ACTIVATIONS} and {TRACE} take {microseconds(products)}, "
                     f"{microseconds(activations)} and {microseconds(writing)} µs, each alone; "
                     f"{share(between / own)} of ours is spent between them")  # fmt: skip
    elif (rest := left - step_of(row, fastest)) > WORTH * own:
        found.append(f"for {microseconds(rest)} µs of the difference no part that was measured "
                     "alone is the cause")  # fmt: skip
    return capital("; ".join(found) or "no part that was measured alone is the cause")


def quicker(row: Record, peer: str) -> str:
    """Return which of the floor's parts, that are within our step, a peer's whole step is below."""
    own, other = step_of(row, best(row)), step_of(row, peer)
    products, activations = step_of(row, PRODUCT), step_of(row, ACTIVATIONS)
    less = f"{short(peer)}'s whole step takes less than"
    if other < products < own or other < row["large product"]:
        return (
            f"{less} the {PRODUCT} alone by BLAS, one call a step: {microseconds(products)} µs "
            f"({microseconds(row['large product'])} at the speed of a large one)"
        )
    if other < products + activations < own:
        return (
            f"{less} {PRODUCT} by BLAS and NumPy's {ACTIVATIONS} alone: {microseconds(products)} "
            f"and {microseconds(activations)} µs"
        )
    return ""


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def floor(rows: list[Record]) -> str:
    """Return how near the largest rows are to what nobody can do without."""
    largest = sorted(rows, key=lambda row: int(row["sizes"][1] * row["sizes"][3]))[-LARGEST:]
    told = [
        f"{figure(1 / (of_best(row, 'floor') or [])[1])} times the floor at {name_of(row)}"
        for row in largest
    ]
    return (
        f"The floor is the largest of {PRODUCT} (one call of BLAS a step), NumPy's {ACTIVATIONS}, "
        f"and {TRACE} the trace, each alone. On the largest rows we take "
        f"{'; '.join(told)} (the goal was {FLOOR_GOAL}). Below 1 is no error: each call of BLAS or "
        "NumPy has a cost of its own, and BLAS puts the weights in its order each time; code that "
        "does all steps in one call pays for that once."
    )


def automatic(rows: list[Record]) -> str:
    """Return where `--engine auto` takes another engine than the fastest."""
    others: dict[str, list[str]] = {}
    for row in rows:
        if row["auto"] != best(row):
            taken = f"{name_of(row)} ({microseconds(step_of(row, row['auto']))} µs)"
            others.setdefault(row["auto"], []).append(taken)
    if not others:
        return "The engine shown is the fastest, which is the one that `--engine auto` takes."
    told = "; ".join(f"{engine} for {listed(names)}" for engine, names in others.items())
    because = (
        f" Up to {SMALL:,} steps × samples × units, and in float32 whatever the size, that is the "
        "table: small answers are the same bit for bit whatever is installed, float32's whatever "
        "else is run. `--engine fast` takes numba where it is there and worth it, else NumPy."
    )
    return (
        f"The engine shown is the fastest; `--engine auto` takes another: {told}."
        f"{because * ('table' in others)}"
    )


# ---- the other parts


def startup(record: Record) -> list[str]:
    missed = [
        f"{row['command']} ({figure(times)})"
        for row in record["rows"]
        if (times := row["times base"]["wall"][1]) > (row["most"] or math.inf)
        or times < (row["least"] or 0)
    ]
    told = f"Short of its goal: {listed(missed)}." if missed else "Each is within its goal."
    return [f"Whole processes, from the start of Python to its end. {told}"]


def batch(record: Record) -> list[str]:
    slow = over(record["rows"], "copy")
    told = (
        f"ours takes more than twice that for: {slow}. Of a short sample's time a third goes into "
        "arrays of its numbers, a third into the step and the text of its answer; the rest is cut "
        "into reading, the checksum and the journal that survive a kill, and writing"
        if slow else "ours nowhere takes more than twice that"
    )  # fmt: skip
    answers = over(record["rows"], "answers")
    peaks = [
        f"{megabytes(peak)} MB for {int(count):,} samples"
        for count, peak in record["peak bytes"].items()
    ]
    return [
        f"{record['samples']:,} samples. The floor reads the same file by the library of its kind "
        "(orjson for JSONL), writes the same samples by orjson, and does nothing: "
        f"{told}. The last column's floor writes answers of our size instead"
        + (f": more than twice that for {answers}. " if answers else ". ")
        + f"The whole process's peak of memory is {listed(peaks)}.",
        processes(record["processes"]),
    ]


def over(rows: list[Record], floor: str) -> str:
    """Return for which files a batch takes more than twice as long as a floor."""
    return "; ".join(
        f"{row['file']} ({figure(row['times'][floor][1])})"
        for row in rows
        if row["times"][floor][1] > BATCH_GOAL
    )


def processes(record: Record) -> str:
    took = record["seconds a sample"]["batch"][1]
    return (
        f"`--jobs {record['jobs']}` on {record['samples']:,} samples of one step of 5 units takes "
        f"{microseconds(took)} µs a sample by the wall, the start of its processes with it: "
        f"{figure(record['times one process'][1])} of what one process takes, and "
        f"{figure(record['times']['copy'][1])} times reading and writing the file."
    )


def memory(record: Record) -> list[str]:
    return [
        "Peak of the whole process, and how much more that is than for a single step, as a "
        f"multiple of the trace (ten rows of the table); {turns_of(record['rounds'])}. PyTorch "
        "and ONNX Runtime keep h alone, which is a tenth of it. The command writes its trace as "
        "it goes; the last row is five times as long as the one before."
    ]


def growth(record: Record) -> list[str]:
    """Return the powers with which our best engine's step grows at the right ends."""
    told = []
    for axis, place in (("T", 0), ("N", 1), ("H", 3)):
        *_, before, last = record["axes"][axis]
        engine = best(last)
        times = step_of(last, engine) / step_of(before, engine)
        power = math.log(times) / math.log(last["sizes"][place] / before["sizes"][place])
        told.append(f"{axis}^{power:.2f} (from {before['sizes'][place]:,} to "
                    f"{last['sizes'][place]:,}, {engine})")  # fmt: skip
    return [f"At the right ends, our step grows as {listed(told)}; {turns_of(record['rounds'])}."]
