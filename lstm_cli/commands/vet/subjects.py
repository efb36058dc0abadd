"""Subjects of vetting: a sample with its run, checked to match its expected numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lstm_cli.base.errors import ExitCode, LstmStepError, safe
from lstm_cli.base.numbers import significant
from lstm_cli.base.paste import FileName, command, option_words
from lstm_cli.cell.weights import Model
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.engine.run import Trace
from lstm_cli.formats.conventions import CONVENTIONS, Convention
from lstm_cli.mistakes.diagnosis import right_variant
from lstm_cli.mistakes.expected import Expected, ExpectedVector, read_expected
from lstm_cli.mistakes.variant_run import VariantRun
from lstm_cli.samples import Sample
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings

# Two orders of summation differ in the last bits, so no tolerance can be smaller.
LEAST_TOLERANCE = 1e-14


class MismatchError(LstmStepError):
    """The expected numbers do not match the correct run."""

    code = "mismatch"
    exit_code = ExitCode.CHECK_FAILED


@dataclass(frozen=True, eq=False)
class Subject:
    """A sample with its correct run and its expected numbers.

    Attributes:
        sample: the sample as read.
        model: the model it runs.
        expected: its expected numbers, each with its tolerance.
        right: the correct run as a variant, to apply mistakes to.
    """

    sample: Sample
    model: Model
    expected: Expected
    right: VariantRun


def read_subject(sample: Sample, settings: SampleSettings, atol: float | None = None) -> Subject:
    """Run a sample and check its expected numbers.

    Args:
        sample: a sample with `expected`.
        settings: defaults for what the sample does not specify.
        atol: a tolerance overriding that of the sample.

    Raises:
        MismatchError: its numbers do not match the correct run.
        LstmStepError: it cannot be run, or expects what the cell does not compute.
    """
    trace, right = right_run(sample, settings)
    tolerance = sample.atol if atol is None else atol
    expected = read_expected(sample.expected, trace, atol=tolerance, place=sample.place)
    expected = replace(expected, vectors=tuple(map(_bounded, expected.vectors)))
    _check(sample, right, expected, settings)
    return Subject(sample, trace.model, expected, right)


def right_run(sample: Sample, settings: SampleSettings) -> tuple[Trace, VariantRun]:
    """Return a sample's run, also as a variant; raises the same errors as `read_subject`."""
    trace = sample_trace(sample, settings)
    return trace, _with_second_bias(right_variant(trace), trace.model)


def _bounded(vector: ExpectedVector) -> ExpectedVector:
    least = LEAST_TOLERANCE * np.maximum(1.0, np.abs(np.nan_to_num(vector.values)))
    return replace(vector, tolerance=np.maximum(vector.tolerance, least))


def _with_second_bias(right: VariantRun, model: Model) -> VariantRun:
    """Add a second bias of zeros to a run that lacks it, if its layout has two."""
    row = CONVENTIONS.get(model.convention or "")
    if row is None or _biases_of_a_gate(row) < 2:
        return right
    weights = tuple(
        replace(own, recurrent={k: np.zeros_like(own.arrays[f"b_{k}"]) for k in own.letters})
        if own.letters and not own.recurrent else own
        for own in right.weights
    )  # fmt: skip
    return replace(right, weights=weights)


def _biases_of_a_gate(row: Convention) -> int:
    """Number of biases that a layout stores for the output gate, which every cell has."""
    held = (tensor.gates for tensor in row.tensors if tensor.holds == "b")
    return sum(gates.count("o") if gates else 1 for gates in held)


def _check(sample: Sample, right: VariantRun, expected: Expected, settings: SampleSettings) -> None:
    symbols = expected.symbols
    kept = evaluate_members([right.member()], right.layout, keep=symbols).values
    for vector in expected.vectors:
        ours = kept[vector.run, vector.symbol][0, vector.t - 1]
        off = np.abs(ours - vector.values)
        wrong = ~(off <= vector.tolerance) & ~np.isnan(vector.values)
        if wrong.any():
            unit = int(np.argmax(wrong))
            raise MismatchError(
                f"the expected numbers do not match: {vector.symbol}[{unit}] at t = {vector.t} is "
                f"{significant(ours[unit], 10)}, expected {significant(vector.values[unit], 10)}",
                where=f"{sample.place}, sample {safe(sample.id)}",
                hint=_diagnose(sample, settings),
            )


def _diagnose(sample: Sample, settings: SampleSettings) -> str:
    """Return the command that says why a sample does not match, with what it is vetted with."""
    name = sample.place.split(", line ")[0].split(", sample ")[0]
    if name in ("", "stdin"):
        return "diagnose the sample, then vet what matches"
    given = {"--weights": FileName(settings.weights), "--lstm": settings.lstm}
    shared: dict[str, object] = {
        "--convention": settings.convention,
        "--steps": settings.steps or None,
    }
    own = given if sample.weights is None else {}
    return command("diagnose", FileName(name), *option_words({**own, **shared}))
