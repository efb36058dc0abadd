"""A bench of C ports: they are compiled, run, and their prints handed to `diagnose`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from tests.tools import call

CC = shutil.which("cc") or shutil.which("gcc")
SOURCE = Path(__file__).with_name("port.c")
H, I, T = 16, 6, 20


@dataclass(frozen=True)
class Fault:
    """A fault of `port.c`.

    Attributes:
        name: in the C source.
        ids: what names it: rows that compute exactly what the port does. None where the catalogue
            has no such row: whatever explains such a port is then another fault than was made.
    """

    name: str
    ids: tuple[str, ...] = ()


FAULTS = (
    Fault("RECURRENT_BIAS_LOST", ("recurrent-bias-forgotten",)),
    Fault("RECURRENT_BIAS_2_LOST", ("recurrent-bias-forgotten-layer-1-forward",)),
    Fault("INPUT_BIAS_1_LOST", ("input-bias-forgotten-layer-0-forward",)),
    Fault("BIASES_LOST", ("no-bias",)),
    Fault("BIAS_TWICE", ("bias-twice",)),
    Fault("GATES_IFOG", ("gates-ifog",)),
    Fault("GATES_FIGO", ("gates-figo",)),
    Fault("U_TRANSPOSED", ("u-transposed",)),
    Fault("U_2_TRANSPOSED", ("u-transposed-layer-1-forward",)),
    Fault("U_OF_LAYER_1_IN_2"),
    Fault("INT8_WEIGHTS"),
    Fault("FORGET_BIAS_ADDED", ("forget-bias-added",)),
    Fault("HARD_SIGMOID_FIFTH", ("hard-sigmoid",)),
    Fault("HARD_SIGMOID_QUARTER"),
    Fault("SIGMOID_TABLE"),
    Fault("TANH_RATIONAL"),
    Fault("SIGMOID_ON_G", ("sigmoid-candidate",)),
    Fault("NO_TANH_ON_C", ("no-tanh-on-c",)),
    Fault("H_FROM_OLD_C", ("h-from-old-c",)),
    Fault("CELL_CLIPPED", ("cell-clip-1",)),
    Fault("UPDATED_IN_PLACE"),
    Fault("LAST_UNIT_LEFT_OUT"),
    Fault("LAYER_2_A_STEP_LATE"),
    Fault("STATES_ZEROED", ("initial-state-ignored",)),
    Fault("LAYER_2_FROM_ZERO"),
    Fault("H0_OF_LAYERS_EXCHANGED"),
    Fault("STATES_EXCHANGED", ("states-exchanged",)),
    Fault("H_NOT_CARRIED", ("h-not-carried",)),
    Fault("WIPED_AFTER_10"),
    Fault("C_WIPED_AFTER_10"),
    Fault("WIPED_EACH_8"),
    Fault("COLUMN_OFF_BY_ONE"),
    Fault("INPUT_A_STEP_AHEAD", ("first-input-skipped",)),
    Fault("TIME_REVERSED", ("time-reversed",)),
    Fault("INPUT_RING_OF_16"),
    Fault("FIRST_STEP_SKIPPED"),
    Fault("C_PUT_OUT"),
    Fault("LAYER_1_PUT_OUT"),
)


@dataclass(frozen=True)
class Score:
    """What `diagnose` said of a faulty port, and what is true.

    Attributes:
        first, unit: where it says that the port first departs; None where it says it does not.
        named: the ids of its explanations, best first; none where it has no explanation.
        true_first: the first step that departs.
        true_units: the units whose print departs there.
    """

    fault: Fault
    verdict: str
    first: int | None
    unit: int | None
    named: tuple[str, ...]
    true_first: int
    true_units: tuple[int, ...]

    @property
    def found(self) -> bool:
        """Whether the fault is named first."""
        return bool(self.named) and self.named[0] in self.fault.ids

    @property
    def false_claim(self) -> bool:
        """Whether another fault is named first than was made, or the port is called right."""
        return self.verdict == "match" or (bool(self.named) and not self.found)

    def __str__(self) -> str:
        mark = "named" if self.found else "FALSE" if self.false_claim else "-"
        return (
            f"{self.fault.name:23} {mark:6} {self.verdict:12} t {self.first} of {self.true_first:<3}"
            f" {', '.join(self.named[:4])}"
        )


class Bench:
    """A model of a seed, in a folder: `model.h` for the ports, files of the same for `diagnose`."""

    def __init__(self, folder: Path, seed: int = 0, size: float = 0.5) -> None:
        rng = np.random.default_rng([20, seed])
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.weights = {
            f"{name}_l{layer}": rng.uniform(-size, size, shape).astype(np.float32)
            for layer, inputs in enumerate((I, H))
            for name, shape in {
                "weight_ih": (4 * H, inputs), "weight_hh": (4 * H, H),
                "bias_ih": (4 * H,), "bias_hh": (4 * H,),
            }.items()
        }  # fmt: skip
        # As they stand in a test: few decimals, which no float32 holds exactly.
        self.x = rng.uniform(-2, 2, (T, I)).round(3)
        self.h, self.c = (rng.uniform(-end, end, (2, H)).round(3) for end in (0.9, 0.5))
        np.savez(folder / "model.npz", **self.weights)
        for name, rows in {"x": self.x, "h": self.h, "c": self.c}.items():
            self._rows(name, ([repr(float(v)) for v in row] for row in rows))
        beyond = np.append(self.x, 0.625)  # what an index that is off by one reads at the end
        arrays = {**self.weights, "X": beyond, "H0": self.h, "C0": self.c}
        (folder / "model.h").write_text(
            f"enum {{ H = {H}, IN = {I}, T = {T} }};\n"
            + "".join(
                f"static REAL {name}[] = {{{', '.join(repr(float(v)) for v in array.ravel())}}};\n"
                for name, array in arrays.items()
            )
        )

    def _rows(self, name: str, rows: Iterable[Iterable[str]]) -> None:
        text = "".join(",".join(row) + "\n" for row in rows)
        (self.folder / f"{name}.csv").write_text(text)

    def port(self, *flags: str) -> Path:
        """Compile the port."""
        assert CC is not None
        program = self.folder / ("port" + "".join(flags).replace("/", ""))
        if not program.exists():
            command = [CC, "-std=c11", "-Wall", "-Wextra", "-Wno-format-security", *flags,
                       "-I", str(self.folder), str(SOURCE), "-lm", "-o", str(program)]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
        return program

    def printed(self, template: str = "%f", *flags: str) -> str:
        """Return what the port prints."""
        command = [str(self.port(*flags)), template]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def faulty(self, fault: str, template: str = "%f", real: str = "float") -> str:
        """Return the print of the port with a fault, bit by bit the right one's where it is right."""
        flags = ("-O2", "-ffp-contract=off", f"-DFAULT={fault}", f"-DREAL={real}")
        return self.printed(template, *flags)

    def diagnose(self, text: str) -> Any:
        """Return what `diagnose --json` says of a print."""
        (self.folder / "y.csv").write_text(text)
        given = [f"--{name}=@{self.folder / name}.csv" for name in "xhc"]
        claim = f"output=@{self.folder / 'y.csv'}"
        model = self.folder / "model.npz"
        answer = call("diagnose", "-w", model, *given, "--expect", claim, "--json")
        assert answer.code in (0, 1), answer.err
        (line,) = answer.lines
        return line

    def score(self, fault: Fault) -> Score:
        """Return what `diagnose` says of the port with a fault, printed by `%f`."""
        right, faulty = (numbers(self.faulty(name)) for name in ("RIGHT", fault.name))
        exact = numbers(self.faulty(fault.name, "%.17g", "double"))
        off = np.abs(exact - numbers(self.faulty("RIGHT", "%.17g", "double"))).max(axis=1)
        first = int(np.argmax(off > 0))
        # The step is beyond dispute: identical before, ten last digits off there.
        assert (right[:first] == faulty[:first]).all(), fault.name
        assert off[first] > 1e-5, fault.name
        said = self.diagnose(self.faulty(fault.name))
        told = said["verdict"] in ("explained", "ambiguous")
        place = said["first_difference"] or {}
        return Score(
            fault, said["verdict"], place.get("t"), place.get("unit"),
            tuple(each["id"] for each in said["findings"] if told),
            first + 1, tuple(np.flatnonzero(right[first] != faulty[first])),
        )  # fmt: skip


def numbers(text: str) -> Array:
    """Return the rows of a print."""
    return np.array([[float(word) for word in line.split(",")] for line in text.splitlines()])
