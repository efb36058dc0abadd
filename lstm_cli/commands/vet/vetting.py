"""Vetting as Python asks for it, and stronger vectors.

A stronger vector has short, distinct numbers that distinguish every mistake from the correct run.
The weights are kept if possible; if they are the weakness, they are replaced by new ones with the
same layout, cell and sizes. The result is read back and vetted like any other sample.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, safe
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.traits import Traits, traits_of
from lstm_cli.cell.weights import Model
from lstm_cli.commands.vet.show import Json, Stronger, Suite
from lstm_cli.commands.vet.suites import vet_suite
from lstm_cli.commands.vet.trials import (
    Applicability,
    Subject,
    is_limit,
    kind_of,
    outcomes,
    own_expected,
    right_run,
    symbols_of,
    vetted_mistakes,
)
from lstm_cli.files.output import json_text, plain_list
from lstm_cli.formats.contents import Variant
from lstm_cli.formats.conventions import CONVENTIONS, Convention
from lstm_cli.formats.layouts import named_tensors, pack
from lstm_cli.formats.read import file_traits
from lstm_cli.mistakes.variant_run import Cache, Mistake, VariantRun
from lstm_cli.samples import Read, Sample, read_sample
from lstm_cli.samples.given import GivenSamples, samples_of, settings_of
from lstm_cli.samples.models import sample_trace
from lstm_cli.samples.settings import SampleSettings

ATOL = 1e-6
# A mistake with this excess is also clearly distinct from float32 rounding.
CLEAR = 1e-3
STEPS = (2, 3, 4, 6)
# Scales of x before the last step, of x at the last step, and of h and c; moderate ones first.
LOUDNESS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (2.0, 2.0, 2.0), (1.0, 4.0, 4.0), (1.0, 8.0, 8.0),
            (4.0, 4.0, 4.0), (8.0, 8.0, 12.0), (4.0, 16.0, 100.0))  # fmt: skip
TRIALS = 4
# How many samples of one kind are searched for weights that can distinguish all mistakes.
MOST_SUBJECTS = 8
FRESH_SEEDS = range(4)
# Length and scale of the sequences on which weights are judged.
RICH_STEPS, RICH_SCALES = 6, (1.0, 4.0, 16.0, 100.0)

# At most this many numbers are written into a sample; more belong in a weight file.
MOST_NUMBERS = 200_000
# Numbers below this fraction of the scale would hide what they are multiplied by.
LEAST = 0.05
# Candidates per number drawn; with fewer, draws would be much alike.
SPARE = 1.2

# Of a candidate, larger is better: how many mistakes it lacks in any symbol, in h alone, and of the
# limits, below zero; how clear the least difference is.
Order = tuple[int, int, int, float]


def vet(
    samples: GivenSamples,
    *,
    weights: Model | str | PathLike[str] | None = None,
    cell: Cell | None = None,
    convention: str = "",
    steps: int = 0,
    atol: float | None = None,
    explain: bool = True,
    stronger: bool = False,
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
        stronger: whether to make a vector that catches what these let pass.

    Returns:
        A suite: its `strength` in percent, the verdicts that are `blind`, the `causes`; samples
        that could not be vetted are under `failed`, `mismatched` and `unchecked`. `stronger` has
        the new vector's `documents`, as `--stronger FILE` writes them into the current folder.

    Raises:
        ArgumentError: what is no sample.
        LstmStepError: `weights` cannot be read, or a sample cannot hold new ones. What is wrong
            with a sample is under `failed`.
    """
    settings = settings_of(weights, cell, convention, steps=steps)
    name = str(samples) if isinstance(samples, str | PathLike) else "samples"
    suite = vet_suite(name, samples_of(samples), settings, atol=atol, explain=explain)
    if stronger and suite.subjects:
        suite = replace(suite, stronger=strengthen(suite, settings, Path("stronger.json")))
    return suite


def strengthen(suite: Suite, settings: SampleSettings, target: Path) -> Stronger:
    """Build a vector that catches what a suite should catch, with as few samples as possible.

    Args:
        suite: the suite that was vetted, with a sample at least.
        settings: the settings used to read its samples.
        target: the file to write; paths in it are relative to its folder.

    Raises:
        InputError: a sample cannot hold the weights of a cell.
    """
    documents, hidden, renewed = list[Json](), dict[str, None](), False
    for number, (subjects, rows) in enumerate(_kinds(suite)):
        document, lost, kept = _StrongerSearch(subjects, rows, settings, target).made()
        name = subjects[0].sample.id.text + "-strong" + f"-{number + 1}" * (number > 0)
        documents.append({"id": name, **document})
        hidden |= dict.fromkeys(row.id for row in lost)
        renewed = renewed or not kept
    as_read = json.loads(json.dumps(documents))
    again = [read_sample(each, "", target.parent, safe(target)) for each in as_read]
    vetted = vet_suite(str(target), again, SampleSettings())
    return Stronger(tuple(documents), vetted, _count_seen_in_h(vetted), tuple(hidden), renewed)


def _kinds(suite: Suite) -> Iterator[tuple[list[Subject], list[Mistake]]]:
    """Yield samples of one kind with the mistakes that apply to them, until all are covered.

    Kinds with most mistakes come first; a kind that adds none is left out.
    """
    applicability, rows = Applicability(), vetted_mistakes()
    kinds: dict[object, list[Subject]] = {}
    for subject in suite.subjects:
        kinds.setdefault(kind_of(subject.right), []).append(subject)
    found = []
    for subjects in kinds.values():
        why = applicability.by_kind(subjects[0].right, rows)
        found.append((subjects, [row for row in rows if row.id not in why]))
    told = set[str]()
    for subjects, mine in sorted(found, key=lambda each: -len(each[1])):
        if not {row.id for row in mine} <= told:
            told |= {row.id for row in mine}
            yield subjects, mine


def _count_seen_in_h(suite: Suite) -> int:
    rows = [each.row for each in suite.verdicts if each.word == "seen"]
    return len({name for each in suite.subjects for name in _seen(each.right, rows, ["h"])})


def _seen(
    right: VariantRun, rows: Sequence[Mistake], symbols: Sequence[str], cache: Cache | None = None
) -> dict[str, float]:
    """Map the ids of mistakes that show in some symbols of the last layer to their differences."""
    if not rows:
        return {}
    last = max(level for level, _ in right.layout)
    runs = [n for n, (level, _) in enumerate(right.layout) if level == last]
    expected = own_expected(right, symbols, runs=runs, tolerance=ATOL)
    made = outcomes(right, expected, rows, cache)
    return {each.row.id: each.difference for each in made if not each.passes}


class _StrongerSearch:
    """The search for one sample."""

    def __init__(
        self, subjects: Sequence[Subject], rows: Sequence[Mistake], settings: SampleSettings,
        target: Path,
    ) -> None:  # fmt: skip
        self.subjects, self.settings, self.target = subjects[:MOST_SUBJECTS], settings, target
        self.rows = [row for row in rows if not is_limit(row)]
        limits = [row for row in rows if is_limit(row)]
        seen = {each.row.id for subject in self.subjects
                for each in outcomes(subject.right, subject.expected, limits)
                if not each.passes}  # fmt: skip
        self.limits = [row for row in limits if row.id in seen]
        self.rng = np.random.default_rng(2)
        self.cache = Cache()  # candidates differ only in x, h and c

    def made(self) -> tuple[Json, list[Mistake], bool]:
        """Return the best sample, what its old weights hide, and whether they are kept."""
        hidden = [self._unseen(each.right) for each in self.subjects]
        fewest = min(range(len(hidden)), key=lambda n: len(hidden[n]))
        subject, lost = self.subjects[fewest], hidden[fewest]
        if not lost:
            for document in own_documents(subject, self.settings, self.target):
                right = self._right(document, subject)
                if right is not None and _same_weights(right, subject.right):
                    return self._with_inputs(document, right), [], True
        return self._renewed(subject), lost, False

    def _renewed(self, subject: Subject) -> Json:
        """Return a sample with new weights: the first that hide nothing, or the best ones."""
        best: tuple[int, Json, VariantRun] | None = None
        for document in fresh_documents(subject, self.target, FRESH_SEEDS):
            right = self._right(document, subject)
            unseen = len(self._unseen(right)) if right is not None else 0
            if right is not None and (best is None or unseen < best[0]):
                best = unseen, document, right
                if not unseen:
                    break
        if best is None:
            raise InputError(
                "a sample cannot hold these weights", where=subject.sample.place,
                hint="use a named layout (`lstm-step list conventions`) and a cell of `list cells`",
            )  # fmt: skip
        return self._with_inputs(*best[1:])

    def _unseen(self, right: VariantRun) -> list[Mistake]:
        """Return the mistakes that no input tried shows with these weights."""
        waiting = {row.id: row for row in self.rows}
        for scale in RICH_SCALES:
            for name in _seen(_rich(right, scale), list(waiting.values()), symbols_of(right)):
                del waiting[name]
        return list(waiting.values())

    def _read(self, document: Json) -> Read:
        return read_sample(document, "", self.target.parent, safe(self.target))

    def _right(self, document: Json, subject: Subject) -> VariantRun | None:
        """Return the run of a document's weights; None if they differ from those required."""
        sample = self._read({**_inputs_of(subject.right), **document})
        if not isinstance(sample, Sample):
            return None
        try:
            _, right = right_run(sample, SampleSettings())
        except LstmStepError:
            return None
        return right if kind_of(right) == kind_of(subject.right) else None

    def _with_inputs(self, document: Json, right: VariantRun) -> Json:
        """Return a document with x, h, c, and the last layer's gates and states at all steps."""
        made = {"note": _NOTE, **_inputs_of(self._inputs(right)), **document}
        sample = self._read(made)
        assert isinstance(sample, Sample)
        trace = sample_trace(sample, SampleSettings())
        shown = [name for name in trace.last_layer[0].cell.symbols if not name.startswith("z_")]
        return {**made, "expected": {name: plain_list(trace[name]) for name in shown}, "atol": ATOL}

    def _inputs(self, right: VariantRun) -> VariantRun:
        """Return the run with the fewest steps and the best numbers found."""
        never = len(self.rows) - len(_seen(_rich(right, 1.0), self.rows, ["h"]))
        best: tuple[Order, VariantRun] | None = None
        for steps in STEPS:
            for loudness, _ in product(LOUDNESS, range(TRIALS)):
                variant = self._drawn(right, steps, loudness)
                order = self._order(variant)
                if best is None or order > best[0]:
                    best = order, variant
                unseen, in_h, limits, clear = best[0]
                if unseen == limits == 0 and in_h >= -never and clear >= CLEAR:
                    return best[1]
            if best is not None and best[0][0] == 0:
                break
        assert best is not None
        return best[1]

    def _drawn(
        self, right: VariantRun, steps: int, loudness: tuple[float, float, float]
    ) -> VariantRun:
        first, last, states = loudness
        inputs = right.x.shape[1]
        x = cut(short_numbers(self.rng, steps * inputs, first), (steps, inputs))[0]
        if last != first:
            x[-1] = short_numbers(self.rng, inputs, last, x)
        shapes = [each.shape for each in (*right.h, *right.c)]
        count = sum(shape[0] for shape in shapes)
        h_and_c = cut(short_numbers(self.rng, count, states, x), *shapes)
        half = len(right.h)
        return right.with_inputs(x, tuple(h_and_c[:half]), tuple(h_and_c[half:]))

    def _order(self, variant: VariantRun) -> Order:
        in_h = _seen(variant, self.rows, ["h"], self.cache)
        rest = [row for row in self.rows if row.id not in in_h]
        seen = in_h | _seen(variant, rest, symbols_of(variant), self.cache)
        limits = _seen(variant, self.limits, symbols_of(variant), self.cache)
        return (
            len(seen) - len(self.rows), len(in_h) - len(self.rows),
            len(limits) - len(self.limits), min([*seen.values(), CLEAR]),
        )  # fmt: skip


def _inputs_of(right: VariantRun) -> Json:
    """Return x, h and c in sample form, with one row of states per layer and direction."""
    h, c = ([each.tolist() for each in states] for states in (right.h, right.c))
    return {"x": right.x.tolist(), "h": h if len(h) > 1 else h[0], "c": c if len(c) > 1 else c[0]}


def _same_weights(one: VariantRun, other: VariantRun) -> bool:
    return all(
        np.array_equal(a.arrays[name], b.arrays[name])
        for a, b in zip(one.weights, other.weights, strict=True)
        for name in a.arrays
    )


def _rich(right: VariantRun, scale: float) -> VariantRun:
    """Return the run on many steps of random numbers with all digits."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-scale, scale, (RICH_STEPS, right.x.shape[1]))
    h, c = (tuple(rng.uniform(-scale, scale, each.shape) for each in states)
            for states in (right.h, right.c))  # fmt: skip
    return right.with_inputs(x, h, c)


_NOTE = "made by lstm-step vet: short, distinct numbers, so that known mistakes show"


# ---- samples to write: with the named weights, or with new ones


def short_numbers(
    rng: np.random.Generator, count: int, scale: float = 1.0, taken: Array | None = None
) -> Array:
    """Draw numbers `(count,)` within ±scale, distinct in magnitude, with the fewest decimals.

    Args:
        rng: the generator.
        count: how many; larger counts need more decimals, of which there are at least 2.
        scale: the largest magnitude.
        taken: numbers whose magnitudes must not occur again.
    """
    decimals = 2
    while len(_sizes(scale, decimals, taken)) < SPARE * count:
        decimals += 1
    sizes = rng.choice(_sizes(scale, decimals, taken), count, replace=False)
    signs = rng.choice([-1.0, 1.0], count)
    return np.asarray(np.round(signs * sizes / 10**decimals, decimals))


def _sizes(scale: float, decimals: int, taken: Array | None) -> Array:
    """Return the available magnitudes, in units of the last decimal."""
    unit = 10**decimals
    every = np.arange(max(1, int(LEAST * scale * unit)), int(scale * unit) + 1)
    return every if taken is None else np.setdiff1d(every, np.round(np.abs(taken) * unit))


def cut(numbers: Array, *shapes: tuple[int, ...]) -> list[Array]:
    """Split numbers, in order, into one array per shape."""
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    parts = np.split(numbers, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def own_documents(subject: Subject, settings: SampleSettings, target: Path) -> Iterator[Json]:
    """Yield the keys for a sample's own weights and cell: first as given, then in full.

    The first may lack what the command line specified.
    """
    sample = subject.sample
    weights = _named_weights(subject, settings, target)
    if weights is None:
        return
    told = _own_keys(subject, target)
    yield {"weights": weights, **told}
    convention = sample.convention or settings.convention
    yield {"weights": weights, **_keys(convention), **told}
    row = CONVENTIONS.get(subject.model.convention or "")
    for named in (subject.model.convention or "", ""):
        yield {"weights": weights, **_keys(named), **_trait_keys(subject.model, row)}


def _named_weights(subject: Subject, settings: SampleSettings, target: Path) -> Any:
    """Return a sample's `weights`, paths relative to the new file's folder."""
    weights = subject.sample.weights
    if isinstance(weights, str):
        return _from(target, subject.sample.folder / weights)
    if weights is None and settings.weights:
        return _from(target, Path(settings.weights))
    return {"preset": "identity"} if weights is None else weights


def _from(target: Path, path: Path) -> str:
    """Return a path relative to the folder of a file."""
    return os.path.relpath(path.absolute(), target.absolute().parent)


def _keys(convention: str) -> Json:
    return {"convention": convention} if convention else {}


def _own_keys(subject: Subject, target: Path) -> Json:
    """Keys with which the sample itself describes its cell."""
    sample, keys = subject.sample, Json()
    if sample.convention:
        keys["convention"] = sample.convention
    if sample.cell:
        own_file = sample.cell.lower().endswith(".toml")
        keys["cell"] = _from(target, sample.folder / sample.cell) if own_file else sample.cell
    for name in ("forget_bias", "clip", "cell_clip"):
        if getattr(sample.settings, name) is not None:
            keys[name] = getattr(sample.settings, name)
    if sample.settings.activations:
        keys["activations"] = sample.settings.activations
    return keys


def _trait_keys(model: Model, row: Convention | None) -> Json:
    """Keys that a sample needs for its cell beyond the assumptions of the layout's reader."""
    own = traits_of(model.cell)
    if own is None:
        return {}
    if row is None:
        base = Traits()
        named = [own.coupled, "peephole" * own.peephole, "projection" * own.projection]
        keys: Json = {"cell": "+".join(name for name in named if name) or "lstm"}
    else:
        base, keys = file_traits(row, Variant(), model.first.arrays), {}
    if own.activations != base.activations:
        keys["activations"] = ",".join(own.activations)
    if own.forget_bias != base.forget_bias:
        keys["forget_bias"] = own.forget_bias - base.forget_bias
    for name in ("clip", "cell_clip"):
        if getattr(own, name) != getattr(base, name):
            keys[name] = getattr(own, name)
    return keys


def fresh_documents(subject: Subject, target: Path, seeds: Iterable[int]) -> Iterator[Json]:
    """Yield documents with new weights in a sample's layout, or one that can hold them.

    Raises:
        InputError: there are too many numbers for a sample.
    """
    told = _own_keys(subject, target)
    own = CONVENTIONS.get(subject.model.convention or "")
    rows = [own, CONVENTIONS["split"]] if own is not None else [None]
    for seed in seeds:
        for row in rows:
            tensors = _tensors(subject.model, row)
            if tensors is None:
                continue
            named = _keys(row.name if row is not None else "")
            weights = _filled(tensors, subject, seed)
            yield {"weights": weights, **told, **named}
            yield {"weights": weights, **named, **_trait_keys(subject.model, row)}


def _tensors(model: Model, row: Convention | None) -> dict[str, tuple[int, ...]] | None:
    """Map the names of a model's weights in a layout to shapes; None if it cannot hold them."""
    if row is None:
        return {name: array.shape for name, array in model.first.arrays.items()}
    try:
        packed = {(level, direction): pack(row, weights.arrays)
                  for level, direction, weights in model.runs}  # fmt: skip
    except InputError:
        return None
    return {name: array.shape for name, array in named_tensors(row, packed).items()}


def _filled(tensors: Mapping[str, tuple[int, ...]], subject: Subject, seed: int) -> Json:
    """Fill tensors with short, distinct numbers, smaller if more of them are summed."""
    count = sum(int(np.prod(shape)) for shape in tensors.values())
    if count > MOST_NUMBERS:
        raise InputError(
            f"new weights would take {count:,} numbers", where=safe(subject.sample.place),
            hint=f"at most {MOST_NUMBERS:,}: vet a smaller model of the same cell",
        )  # fmt: skip
    joined = subject.model.first.input_size + subject.model.first.output_size
    scale = min(1.0, round(4.0 / float(np.sqrt(joined)), 1))
    numbers = short_numbers(np.random.default_rng(seed), count, scale)
    arrays: list[Array] = cut(numbers, *tensors.values())
    return {name: array.tolist() for name, array in zip(tensors, arrays, strict=True)}


def document_text(documents: Iterable[Json], target: Path) -> Iterator[str]:
    """Yield samples as JSON, with one matrix per line, or JSONL, with one sample per line."""
    listed = list(documents)
    if target.suffix.lower() in (".jsonl", ".ndjson"):
        yield from (json_text(each) + "\n" for each in listed)
        return
    texts = [_readable(each) for each in listed]
    yield (texts[0] if len(texts) == 1 else "[\n" + ",\n".join(texts) + "\n]") + "\n"


def _readable(document: Mapping[str, Any]) -> str:
    lines = []
    for key, value in document.items():
        if isinstance(value, dict) and key in ("weights", "expected"):
            inner = [f"  {json_text(name)}: {json_text(each)}" for name, each in value.items()]
            text = "{\n" + ",\n".join(inner) + "\n }"
        else:
            text = json_text(value)
        lines.append(f" {json_text(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"
