"""What to do about a finding: the right equation next to the wrong one, and commands to run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import shell_word
from lstm_cli.cell.notation import Style
from lstm_cli.cell.traits import Traits, build_cell, traits_of
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.mistakes.diagnosis import Diagnosis
from lstm_cli.mistakes.formulas import rows_changed
from lstm_cli.mistakes.misread_layouts import readings_of_order
from lstm_cli.mistakes.search import Finding
from lstm_cli.mistakes.variant_run import Cache

_ORDER = "gates-"


@dataclass(frozen=True)
class Correction:
    """One row of the table as it should be, and as it was computed."""

    symbol: str
    right: str
    theirs: str


def corrections(finding: Finding, diagnosis: Diagnosis, style: Style) -> list[Correction]:
    """Return the rows that a finding changes, each as the right and the wrong equation."""
    assert diagnosis.right is not None
    variant = finding.variant(diagnosis.right, Cache())
    if variant is None:
        return []
    found = {
        (symbol, theirs): Correction(symbol, right, theirs)
        for own, other in zip(diagnosis.right.cells, variant.cells, strict=True)
        for symbol, right, theirs in rows_changed(own, other, style)
    }
    return list(found.values())


def frameworks(finding: Finding, diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Return the (source, reader) pairs of conventions whose mix-up gives this gate order."""
    orders = [row.id.removeprefix(_ORDER) for row in finding.departures
              if row.id.startswith(_ORDER) and len(row.id) == len(_ORDER) + 4]  # fmt: skip
    return readings_of_order(orders[0], _stacked(diagnosis)) if orders else []


def _stacked(diagnosis: Diagnosis) -> str | None:
    """Return the convention of the weights if it stacks gates."""
    name = diagnosis.trace.model.convention
    row = CONVENTIONS.get(name or "")
    return name if row and row.order else None


def title(finding: Finding, diagnosis: Diagnosis) -> str:
    """One-line title of a finding; names both frameworks if that of the weights is known."""
    words = []
    for row in finding.departures:
        pairs = frameworks(finding, diagnosis) if row.kind == "order" else []
        if pairs and _stacked(diagnosis):
            source, reader = (CONVENTIONS[name] for name in pairs[0])
            words.append(
                f"{source.name} weights are read as {reader.name}'s: "
                f"gates {' '.join(source.order)} as {' '.join(reader.order)}"
            )
        else:
            words.append(row.title)
    return ", and ".join(words)


@dataclass(frozen=True)
class FixCommand:
    """A command to run, and what it does: "mends" the weights or "reproduces" their numbers."""

    does: str
    line: str


def commands(finding: Finding, diagnosis: Diagnosis) -> list[FixCommand]:
    """Return commands to run: the conversion that fixes, and the run that reproduces."""
    lines = []
    source = diagnosis.trace.model.source
    readers = [pair[1] for pair in frameworks(finding, diagnosis)]
    if readers and not source.startswith(("preset:", "inline", "arrays")):
        where = shell_word(source.split(", ")[0], file=True)
        mended = f"lstm-step convert {where} fixed.npz --to {readers[0]}"
        lines.append(FixCommand("mends", mended))
    options = [row.options for row in finding.departures]
    # The numbers of the preset random depend on the cell that they fill.
    drawn = source.startswith("preset:random") and any("--cell " in each for each in options)
    cell = _own_cell(diagnosis)
    other = any("--cell " in each for each in options)
    if all(options) and not drawn and cell is not None and not (cell and other):
        lines.append(FixCommand("reproduces", " ".join([_own_run(diagnosis), *cell, *options])))
    return lines


def _own_cell(diagnosis: Diagnosis) -> list[str] | None:
    """Return the options that name the right run's cell; None where none does, as of a table."""
    cell, source = diagnosis.trace.model.cell, diagnosis.trace.model.source
    own = traits_of(cell)
    if own is None:
        return None
    if not source.startswith("preset:"):
        return []  # the file tells it
    named = replace(Traits(), coupled=own.coupled, peephole=own.peephole, projection=own.projection)
    if own != named:
        return None
    return [] if own == Traits() else ["--cell", build_cell(own).name]


# Commands do not spell out more numbers than this.
_FEW = 24


def _own_run(diagnosis: Diagnosis) -> str:
    """Return the command that computes the right numbers, leaving out vectors that are too long."""
    right, model = diagnosis.right, diagnosis.trace.model
    assert right is not None
    preset, _, seed = model.source.removeprefix("preset:").partition(" (seed ")
    weights = "--weights " + shell_word(model.source.split(", ")[0], file=True)
    if model.source.startswith("preset:"):
        # A file may also be named `preset:…`.
        seeded = f" --seed {shell_word(seed.rstrip(')'))}" if seed[:1] not in ("", "0") else ""
        weights = f"--preset {shell_word(preset)}{seeded}"
    elif model.source.startswith(("inline", "arrays")):
        weights = "--weights FILE"
    short = right.x.size + sum(map(len, right.h)) + sum(map(len, right.c)) <= _FEW
    vectors = {"--x": right.x, "--h": np.array(right.h), "--c": np.array(right.c)}
    given = {name: rows for name, rows in vectors.items() if name == "--x" or rows.any()}
    texts = [f"{name} {typed(rows) if short else '…'}" for name, rows in given.items()]
    return " ".join(["lstm-step", *texts, weights])


def typed(rows: Array) -> str:
    """Format rows as typed on a command line: commas, and (quoted) semicolons between rows."""
    text = ";".join(",".join(str(v).removesuffix(".0") for v in row) for row in rows.tolist())
    return f'"{text}"' if ";" in text else text
