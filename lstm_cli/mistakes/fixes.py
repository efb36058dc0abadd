"""What to do about a finding: the right equation next to the wrong one, and commands to run."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.paste import PROGRAM, CommandLine, FileName, command, option_words, rows_text
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.notation import Style
from lstm_cli.cell.traits import Traits, build_cell, traits_of
from lstm_cli.formats.conventions import CONVENTIONS
from lstm_cli.mistakes.catalogue import Correction, rows_changed
from lstm_cli.mistakes.diagnosis import Diagnosis
from lstm_cli.mistakes.search import Finding
from lstm_cli.mistakes.variant_run import Cache, Mistake
from lstm_cli.mistakes.weights import readings_of_order

_ORDER = "gates-"
# What a row of the catalogue says of files that it does not know.
_UNNAMED = "convert FILE OUT"


def corrections(finding: Finding, diagnosis: Diagnosis, style: Style) -> list[Correction]:
    """Return the rows that a finding changes, each as the right and the wrong equation."""
    variant = finding.variant(diagnosis.right, Cache())
    if variant is None:
        return []
    pairs = zip(diagnosis.right.cells, variant.cells, strict=True)
    found = [each for pair in pairs for each in rows_changed(*pair, style)]
    return list({(each.symbol, each.theirs): each for each in found}.values())


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


def fix_of(row: Mistake, diagnosis: Diagnosis) -> str:
    """Return how to fix a mistake, naming the weights' own file where they have one."""
    file = own_run(diagnosis).get("--weights")
    start, mark, rest = row.fix.partition(f"{PROGRAM} {_UNNAMED}")
    return f"{start}{command('convert', file, 'fixed.npz')}{rest}" if mark and file else row.fix


def commands(finding: Finding, diagnosis: Diagnosis) -> dict[str, CommandLine]:
    """Return commands to run: one that "mends" the weights, and that "reproduces" the numbers."""
    lines = {}
    given = own_run(diagnosis)
    file = given.pop(SAMPLE_FILE, None)
    readers = [pair[1] for pair in frameworks(finding, diagnosis)]
    if readers and "--weights" in given:
        chosen = {name: given[name] for name in _OF_A_FILE if name in given}
        lines["mends"] = command("convert", given["--weights"], "fixed.npz", "--to", readers[0],
                                 *option_words(chosen))  # fmt: skip
    if all(row.options for row in finding.departures):
        words = shlex.split(" ".join(row.options for row in finding.departures))
        options = dict(zip(words[::2], words[1::2], strict=True))
        # Weights that have a gate are refused for a cell without it; those of preset random
        # depend on the cell that they fill.
        own = file or "--weights" in given or given.get("--preset") == "random"
        unfit = own and "--cell" in options
        again = given.keys() & options.keys()
        if (file or "--x" in given) and not unfit and not again:
            start = ("batch", file) if file else ()
            lines["reproduces"] = command(*start, *option_words(given | options))
    return lines


# More numbers than this are not typed out in a line to run.
FEW = 24
# In place of options: the file whose only sample is the run.
SAMPLE_FILE = "FILE"
_OF_A_FILE = ("--lstm", "--convention", "--gates", "--transpose", "--joined",
              "--allow-external-data")  # fmt: skip


def run_of(diagnosis: Diagnosis, x: Array, h: Array, c: Array) -> CommandLine:
    """Return the line that runs other vectors, rows of numbers, through the weights of ours.

    Weights that have no name of their own are not in it.
    """
    of_vectors = ("--x", "--h", "--c", "--steps", "--calls", "--sample", SAMPLE_FILE)
    weights = {name: v for name, v in own_run(diagnosis).items() if name not in of_vectors}
    vectors = {"--h": h, "--c": c, "--x": x}
    typed = {name: rows_text(rows.tolist()) for name, rows in vectors.items()}
    return command(*option_words(typed | weights))


def own_run(diagnosis: Diagnosis) -> dict[str, object]:
    """Return the options that compute the right numbers, as far as there are such.

    Those of the command line where they made the run; else vectors that are short are typed, and
    weights are those of a file or a preset.
    """
    if diagnosis.given is not None:
        return {name: value for name, value in diagnosis.given.items() if value not in ("", None)}
    right, model = diagnosis.right, diagnosis.trace.model
    if model.source.startswith(("inline", "arrays")):
        return {}
    preset, _, seed = model.source.removeprefix("preset:").partition(" (seed ")
    weights: dict[str, object] = {"--weights": FileName(model.source.split(", ")[0])}
    if model.source.startswith("preset:") and not Path(model.source).exists():
        seeded = "" if seed[:1] in ("", "0") else seed.rstrip(")")
        weights = {"--preset": preset, "--seed": seeded}
    cell = _own_cell(model.cell, of_file="--weights" in weights)
    if cell is None:
        return weights if "--weights" in weights else {}
    if right.x.size + sum(map(len, right.h)) + sum(map(len, right.c)) > FEW:
        return weights | cell
    vectors = {"--x": right.x, "--h": np.array(right.h), "--c": np.array(right.c)}
    typed = {name: rows_text(rows.tolist()) for name, rows in vectors.items()
             if name == "--x" or rows.any()}  # fmt: skip
    calls = {"--calls": ",".join(map(str, right.calls))} if right.calls else {}
    return typed | calls | weights | cell


def _own_cell(cell: Cell, *, of_file: bool) -> dict[str, object] | None:
    """Return the options that name the right run's cell; None where none does, as of a table."""
    own = traits_of(cell)
    if own is None:
        return None
    if of_file:
        return {}  # the file tells it
    named = replace(Traits(), coupled=own.coupled, peephole=own.peephole, projection=own.projection)
    if own != named:
        return None
    return {} if own == Traits() else {"--cell": build_cell(own).name}
