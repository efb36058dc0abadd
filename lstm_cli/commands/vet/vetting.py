"""Vetting as Python asks for it: what a test vector cannot see."""

from __future__ import annotations

from os import PathLike

from lstm_cli.cell.cells import Cell
from lstm_cli.cell.weights import Model
from lstm_cli.commands.vet.suites import Suite, vet_suite
from lstm_cli.samples.settings import GivenSamples, samples_of, settings_of


def vet(
    samples: GivenSamples,
    *,
    weights: Model | str | PathLike[str] | None = None,
    cell: Cell | None = None,
    convention: str = "",
    steps: int = 0,
    atol: float | None = None,
    explain: bool = True,
) -> Suite:
    """Find the known mistakes that samples, taken together, let pass.

    Args:
        samples: as `batch` takes them; each needs expected numbers.
        weights: of samples that name none: a model or a file; None is the preset identity.
        cell: of samples that name none; None lets the weights decide.
        convention: of samples that name none; "" lets the weights decide.
        steps: how many steps to run; 0 for all of x.
        atol: a tolerance in place of the samples' own.
        explain: whether to look for the causes of mistakes that pass.

    Returns:
        A suite: its `strength` in percent, the verdicts that are `blind`, the `causes`; samples
        that could not be vetted are under `failed`, `mismatched` and `unchecked`.

    Raises:
        ArgumentError: what is no sample.
        LstmStepError: `weights` cannot be read. What is wrong with a sample is under `failed`.
    """
    settings = settings_of(weights, cell, convention, steps=steps)
    name = str(samples) if isinstance(samples, str | PathLike) else "samples"
    return vet_suite(name, samples_of(samples), settings, atol=atol, explain=explain)
