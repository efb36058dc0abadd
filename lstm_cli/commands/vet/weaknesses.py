"""Weaknesses of test vectors: how to find one in a sample and impose it on strong numbers.

A weakness describes how it shows in a sample, and makes strong numbers weak in the same way; the
mistakes that then pass are those it hides. Causes are thus tested, never guessed. Most are found in
a sample by imposing them on its own numbers: a sample is that weak if nothing changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.cell.equations import names_in
from lstm_cli.cell.roles import Deed, kept_factor, roles_of
from lstm_cli.commands.vet.trials import Subject
from lstm_cli.engine.batched_variants import evaluate_members
from lstm_cli.mistakes.variant_run import GateWeights, VariantRun

Find = Callable[[Subject], str]
Impose = Callable[[VariantRun, Subject], VariantRun]

# A gate this close to 0 or 1 passes nothing or everything.
NEAR = 1e-9


@dataclass(frozen=True, eq=False)
class Weakness:
    """One way in which a vector can be weak.

    Attributes:
        id: a short slug.
        find: returns a sentence on what is weak in a sample, "" if it is not.
        impose: makes strong numbers of the same cell and sizes weak in only this way.
        change: what to do about it.
    """

    id: str
    find: Find
    impose: Impose
    change: str


def _weakness(
    name: str, sentence: str | Find, impose: Impose, change: str, when: Callable[[Subject], bool]
) -> Weakness:
    """Define a weakness found where `when` holds and imposing it changes nothing."""

    def find(subject: Subject) -> str:
        if not when(subject) or not _same(impose(subject.right, subject), subject.right):
            return ""
        return sentence if isinstance(sentence, str) else sentence(subject)

    return Weakness(name, find, impose, change)


def _same(one: VariantRun, other: VariantRun) -> bool:
    pairs = zip(_arrays(one), _arrays(other), strict=True)
    return all(mine is theirs or np.array_equal(mine, theirs) for mine, theirs in pairs)


def _arrays(run: VariantRun) -> Iterator[Array]:
    yield from (run.x, *run.h, *run.c)
    for own in run.weights:
        yield from (*own.arrays.values(), *own.recurrent.values())


def _of_family(subject: Subject) -> bool:
    """Whether all runs have gates with a W_k each."""
    return all(own.letters for own in subject.right.weights)


def _values_of(subject: Subject, symbol: str) -> list[Array]:
    """Return a symbol of every layer and direction, `(T, n)` each."""
    right = subject.right
    kept = evaluate_members([right.member()], right.layout, keep=(symbol,)).values
    return [values[0] for values in kept.values()]


def _letters_that(subject: Subject, *deeds: Deed) -> str:
    """Letters of the rows that have a W_k, and this part in c and h in every layer."""
    if not _of_family(subject):
        return ""
    every = [roles_of(cell) for cell in subject.right.cells]
    return "".join(
        k for k in sorted(subject.right.weights[0].letters)
        if all(k in roles and roles[k].deed in deeds for roles in every)
    )  # fmt: skip


def _listed(words: str) -> str:
    """Join letters as a list: f, i and g."""
    return " and ".join([", ".join(words[:-1]), words[-1]])


# ---- weights: all equal, symmetric, or of one kind; rows that hide more come first


def _of_weights(
    name: str,
    sentence: str | Find,
    made: Callable[[GateWeights], GateWeights],
    change: str,
    when: Callable[[GateWeights], bool] = lambda own: True,
    among: Callable[[Subject], bool] = _of_family,
) -> Weakness:
    """Define a weakness of the weights of every layer and direction."""
    return _weakness(
        name,
        sentence,
        lambda strong, subject: replace(strong, weights=tuple(map(made, strong.weights))),
        change,
        lambda subject: among(subject) and all(map(when, subject.right.weights)),
    )


def _kernels(own: GateWeights, k: str) -> tuple[Array, Array]:
    """Return a gate's U_k (H, P) and W_k (H, I)."""
    joined = own.arrays[f"W_{k}"]
    return joined[:, : own.wide], joined[:, own.wide :]


def _on_kernels(
    change: Callable[[Array, Array], tuple[Array, Array]],
) -> Callable[[GateWeights], GateWeights]:
    """Lift a change of U_k and W_k to every gate."""
    return lambda own: own.with_arrays(
        {f"W_{k}": np.hstack(change(*_kernels(own, k))) for k in own.letters}
    )


def _of_kernels(
    name: str,
    sentence: str,
    made: Callable[[Array, Array], tuple[Array, Array]],
    change: str,
    when: Callable[[Array, Array], bool] = lambda u, w: True,
) -> Weakness:
    """Define a weakness of every gate's U_k and W_k."""
    return _of_weights(name, sentence, _on_kernels(made), change,
                       lambda own: all(when(*_kernels(own, k)) for k in own.letters))  # fmt: skip


def _filled(array: Array) -> Array:
    """Fill an array with its first number."""
    return np.full_like(array, array.flat[0])


def _one_number(u: bool, w: bool) -> Callable[[GateWeights], GateWeights]:
    """Return a change that fills U, W or both of all gates with one number each."""

    def changed(own: GateWeights) -> GateWeights:
        first_u, first_w = map(_filled, _kernels(own, own.letters[0]))
        fill = _on_kernels(lambda old_u, old_w: (first_u if u else old_u, first_w if w else old_w))
        return fill(own)

    return changed


def _all_one(own: GateWeights) -> GateWeights:
    number = _filled(own.arrays[f"W_{own.letters[0]}"])
    return own.with_arrays({f"W_{k}": number for k in own.letters})


def _flat_rows(u: Array, w: Array) -> tuple[Array, Array]:
    return np.repeat(u[:, :1], u.shape[1], axis=1), np.repeat(u[:, :1], w.shape[1], axis=1)


def _square(*arrays: Array) -> bool:
    return all(len(array) == array.shape[1] for array in arrays)


def _larger(*arrays: Array) -> bool:
    """Whether matrices are square, and more than one number."""
    return _square(*arrays) and all(len(array) > 1 for array in arrays)


def _fold(array: Array) -> Array:
    """Return the nearest symmetric matrix; a non-square matrix is unchanged."""
    return np.asarray((array + array.T) / 2) if _square(array) else array


def _on_diagonal(array: Array) -> Array:
    return np.asarray(array * np.eye(*array.shape))


def _without_bias(own: GateWeights) -> GateWeights:
    """Set every bias to 0."""
    zeros = {f"b_{k}": np.zeros_like(own.arrays[f"b_{k}"]) for k in own.letters}
    recurrent = {k: np.zeros_like(array) for k, array in own.recurrent.items()}
    return replace(own.with_arrays(zeros), recurrent=recurrent)


def _as_identity(own: GateWeights) -> GateWeights:
    return _without_bias(_on_kernels(lambda u, w: (np.eye(*u.shape), np.eye(*w.shape)))(own))


def _groups(subject: Subject) -> list[str]:
    """Return groups of letters of gates with the same weights and biases."""
    groups: defaultdict[tuple[bytes, ...], str] = defaultdict(str)
    for k in subject.right.weights[0].letters if _of_family(subject) else "":
        held = [(own.arrays[f"W_{k}"], own.arrays[f"b_{k}"], own.recurrent.get(k, np.zeros(0)))
                for own in subject.right.weights]  # fmt: skip
        # -0 is 0.
        groups[tuple((part + 0.0).tobytes() for parts in held for part in parts)] += k
    return [group for group in groups.values() if len(group) > 1]


def _find_alike(subject: Subject) -> str:
    groups = _groups(subject)
    if groups and len(groups[0]) == len(subject.right.weights[0].letters):
        return "all gates have the same weights and biases"
    return "; ".join(f"gates {_listed(each)} have the same weights and biases" for each in groups)


def _make_alike(strong: VariantRun, subject: Subject) -> VariantRun:
    source = {k: group[0] for group in _groups(subject) for k in group}

    def changed(own: GateWeights) -> GateWeights:
        arrays = {f"{kind}_{k}": own.arrays[f"{kind}_{first}"]
                  for k, first in source.items() for kind in "Wb"}  # fmt: skip
        recurrent = {k: own.recurrent[source.get(k, k)] for k in own.recurrent}
        return replace(own.with_arrays(arrays), recurrent=recurrent)

    return replace(strong, weights=tuple(map(changed, strong.weights)))


def _keep_and_write(subject: Subject) -> bool:
    return (_letters_that(subject, "keep"), _letters_that(subject, "write")) == ("f", "i")


def _mirrored(subject: Subject) -> str:
    sums = map(np.add, _values_of(subject, "f"), _values_of(subject, "i"))
    so = ", so i = 1 - f" * all(np.allclose(each, 1) for each in sums)
    return f"the input gate's weights are the forget gate's with the sign changed{so}"


def _mirror_gates(own: GateWeights) -> GateWeights:
    return own.with_arrays({f"{kind}_i": -own.arrays[f"{kind}_f"] for kind in "Wb"})


def _units_same(strong: VariantRun, subject: Subject) -> VariantRun:
    def changed(own: GateWeights) -> GateWeights:
        arrays = {name: np.repeat(array[:1], len(array), axis=0)
                  for name, array in own.arrays.items() if name != "W_hr"}  # fmt: skip
        recurrent = {k: _filled(array) for k, array in own.recurrent.items()}
        return replace(own.with_arrays(arrays), recurrent=recurrent)

    weights = tuple(map(changed, strong.weights))
    return replace(strong, weights=weights, c=tuple(map(_filled, strong.c)))


def _both_directions(subject: Subject) -> bool:
    sides = [side for _, side in subject.right.layout]
    return sides == ["forward", "backward"] * (len(sides) // 2)


_DISTINCT = "give every weight a different number"

WEIGHTS: tuple[Weakness, ...] = (
    _of_weights("one-weight", "all weights are the same number", _all_one, _DISTINCT),
    _of_weights(
        "one-weight-a-kernel", "all input weights are one number, all recurrent ones another",
        _one_number(u=True, w=True), _DISTINCT,
    ),
    _of_weights("one-input-weight", "all input weights are the same number",
                _one_number(u=False, w=True), _DISTINCT),
    _of_weights("one-recurrent-weight", "all recurrent weights are the same number",
                _one_number(u=True, w=False), _DISTINCT),
    Weakness("gates-alike", _find_alike, _make_alike, "give every gate different numbers"),
    _of_weights("gates-mirrored", _mirrored, _mirror_gates, "give every gate different numbers",
                among=_keep_and_write),
    _of_weights(
        "identity", "every W_k is [I | I] and every bias 0", _as_identity,
        "use weights other than the identity",
        lambda own: all(_square(*_kernels(own, k)) for k in own.letters),
    ),
    _of_kernels("flat-rows", "within a gate, each unit weights all of h and x equally", _flat_rows,
                _DISTINCT),
    _of_kernels(
        "same-kernels", "input weights and recurrent weights are the same",
        lambda u, w: (u, u) if u.shape == w.shape else (u, w), "give W and U different numbers",
        lambda u, w: u.shape == w.shape,
    ),
    _of_kernels(
        "flat-kernels", "within a gate, all input weights are equal, and so are all recurrent ones",
        lambda u, w: (_filled(u), _filled(w)), _DISTINCT,
    ),
    _of_kernels(
        "diagonal", "every W_k and U_k is diagonal",
        lambda u, w: (_on_diagonal(u), _on_diagonal(w)), "fill the matrices off their diagonals",
        _larger,
    ),
    _of_kernels("symmetric", "every W_k and U_k is its own transpose",
                lambda u, w: (_fold(u), _fold(w)), "use matrices that are not symmetric", _larger),
    _of_kernels("u-symmetric", "every U_k is its own transpose", lambda u, w: (_fold(u), w),
                "use a U_k that is not symmetric", lambda u, w: _larger(u)),
    _of_kernels("w-symmetric", "every W_k is its own transpose", lambda u, w: (u, _fold(w)),
                "use a W_k that is not symmetric", lambda u, w: _larger(w)),
    _of_kernels("zero-u", "all recurrent weights are 0", lambda u, w: (0 * u, w),
                "use non-zero recurrent weights"),
    _of_kernels("zero-w", "all input weights are 0", lambda u, w: (u, 0 * w),
                "use non-zero input weights"),
    _weakness(
        "units-alike", "all units have the same weights, biases and cell state", _units_same,
        "give every unit different numbers",
        lambda subject: _of_family(subject) and all(len(c) > 1 for c in subject.right.c),
    ),
    _weakness(
        "directions-alike", "forward and backward have the same weights",
        lambda strong, subject: replace(
            strong, weights=tuple(own for own in strong.weights[::2] for _ in range(2))
        ),
        "give the directions different weights", _both_directions,
    ),
)  # fmt: skip


# ---- biases and peepholes: zero, or indistinguishable from each other


def _share_out(name: str, sentence: str, share: float) -> Weakness:
    """Define that the recurrent bias is this share of the sum of both, which is not all 0."""
    return _of_weights(
        name,
        sentence,
        lambda own: replace(
            own, recurrent={k: share * own.arrays[f"b_{k}"] for k in own.recurrent}
        ),
        "give both biases numbers that differ",
        lambda own: bool(own.recurrent) and any(own.arrays[f"b_{k}"].any() for k in own.letters),
    )


def _peepholes(own: GateWeights) -> dict[str, Array]:
    return {name: array for name, array in own.arrays.items() if name.startswith("p_")}


def _same_peepholes(own: GateWeights) -> GateWeights:
    arrays = _peepholes(own)
    return own.with_arrays(dict.fromkeys(arrays, next(iter(arrays.values()))))


BIASES: tuple[Weakness, ...] = (
    _of_weights("zero-biases", "all biases are 0", _without_bias,
                "give every gate a bias, and a second one where the layout has two"),
    _share_out("zero-second-bias", "the recurrent bias is 0", 0.0),
    _share_out("zero-first-bias", "the input bias is 0", 1.0),
    _share_out("same-biases", "the two biases are the same", 0.5),
    _of_weights(
        "zero-peepholes", "all peepholes are 0",
        lambda own: own.with_arrays({k: 0 * v for k, v in _peepholes(own).items()}),
        "give every peephole a number of its own", lambda own: bool(_peepholes(own)),
    ),
    _of_weights(
        "same-peepholes", "the peepholes of all gates are the same", _same_peepholes,
        "give every peephole a number of its own", lambda own: len(_peepholes(own)) > 1,
    ),
)  # fmt: skip


# ---- values: gates that are always closed or fully open, a candidate that is always 0


def _stuck(subject: Subject) -> str:
    """Return the letters of gates that are saturated in every unit at every step."""

    def at_an_end(values: Array) -> bool:
        return bool((np.minimum(np.abs(values), np.abs(values - 1.0)) < NEAR).all())

    gates = _letters_that(subject, "keep", "write", "show")
    return "".join(k for k in gates if all(map(at_an_end, _values_of(subject, k))))


def _find_stuck(subject: Subject) -> str:
    gates = _stuck(subject)
    if not gates:
        return ""
    named = f"gates {_listed(gates)} are" if len(gates) > 1 else f"gate {gates} is"
    return f"{named} closed or fully open at every step"


def _make_stuck(strong: VariantRun, subject: Subject) -> VariantRun:
    """Copy the stuck gates' weights and biases from a sample into strong numbers."""
    gates = _stuck(subject)

    def changed(own: GateWeights, weak: GateWeights) -> GateWeights:
        arrays = {name: weak.arrays[name] for k in gates for name in (f"W_{k}", f"b_{k}")}
        recurrent = {**own.recurrent, **{k: weak.recurrent[k] for k in gates if weak.recurrent}}
        return replace(own.with_arrays(arrays), recurrent=recurrent)

    return replace(strong, weights=tuple(map(changed, strong.weights, subject.right.weights)))


def _find_no_candidate(subject: Subject) -> str:
    new = _letters_that(subject, "propose")
    empty = new and not any(each.any() for k in new for each in _values_of(subject, k))
    return "the candidate is 0 at every step: nothing is ever written" if empty else ""


def _without_candidate(strong: VariantRun, subject: Subject) -> VariantRun:
    new = _letters_that(subject, "propose")

    def changed(own: GateWeights) -> GateWeights:
        zeros = {f"{kind}_{k}": 0 * own.arrays[f"{kind}_{k}"] for k in new for kind in "Wb"}
        recurrent = {k: 0 * part if k in new else part for k, part in own.recurrent.items()}
        return replace(own.with_arrays(zeros), recurrent=recurrent)

    return replace(strong, weights=tuple(map(changed, strong.weights)))


VALUES: tuple[Weakness, ...] = (
    Weakness("stuck-gates", _find_stuck, _make_stuck,
             "use weights and biases of at most 2, so that gates are half open"),
    Weakness("zero-candidate", _find_no_candidate, _without_candidate,
             "use x, weights and a bias that give a non-zero candidate"),
)  # fmt: skip


# ---- states and sequences: zero, a single step, or the same forwards and backwards


def _of_inputs(
    name: str,
    sentence: str | Find,
    made: Callable[[VariantRun], VariantRun],
    change: str,
    when: Callable[[VariantRun], bool] = lambda run: True,
) -> Weakness:
    """Define a weakness of x, h and c."""
    return _weakness(name, sentence, lambda strong, subject: made(strong), change,
                     lambda subject: when(subject.right))  # fmt: skip


def _zero(states: str = "", steps: int | None = None) -> Callable[[VariantRun], VariantRun]:
    """Return a change that sets states (h, c or hc) to zero, and cuts x to some steps."""

    def changed(run: VariantRun) -> VariantRun:
        h, c = (
            tuple(map(np.zeros_like, own)) if name in states else own
            for name, own in (("h", run.h), ("c", run.c))
        )
        return replace(run, x=run.x[:steps], h=h, c=c)

    return changed


def _by_forget_gate(sentence: str, gateless: str) -> Find:
    """Return a sentence, and another for a table without a forget gate."""

    def say(subject: Subject) -> str:
        kept = [kept_factor(cell) for cell in subject.right.cells]
        return sentence if all(each and names_in(each) for each in kept) else gateless

    return say


def _states_same(run: VariantRun) -> VariantRun:
    pairs = zip(run.h, run.c, strict=True)
    return replace(run, h=tuple(c if h.shape == c.shape else h for h, c in pairs))


def _comparable_states(run: VariantRun) -> bool:
    pairs = list(zip(run.h, run.c, strict=True))
    return all(h.shape == c.shape for h, c in pairs) and any(h.any() or c.any() for h, c in pairs)


def _of_x(
    name: str,
    sentence: str,
    made: Callable[[Array], Array],
    when: Callable[[VariantRun], bool] = lambda run: len(run.x) > 1,
    change: str = "give x different numbers at every step",
) -> Weakness:
    """Define a weakness of x."""
    return _of_inputs(name, sentence, lambda run: replace(run, x=made(run.x)), change, when)


def _palindrome(x: Array) -> Array:
    return np.vstack([x[: (len(x) + 1) // 2], x[: len(x) // 2][::-1]])


INPUTS: tuple[Weakness, ...] = (
    _of_inputs(
        "one-step-from-zero",
        _by_forget_gate(
            "one step from h = 0 and c = 0: U, the forget gate and the states have no effect",
            "one step from h = 0 and c = 0: U and the states have no effect",
        ),
        _zero("hc", steps=1), "use 2 steps or more, and non-zero states",
    ),
    _of_inputs(
        "one-step-zero-c",
        _by_forget_gate("one step from c = 0: the forget gate has nothing to keep",
                        "one step from c = 0: the old cell state has no effect"),
        _zero("c", steps=1), "use 2 steps or more, and a non-zero c",
    ),
    _of_inputs("one-step-zero-h", "one step from h = 0: U is multiplied by 0",
               _zero("h", steps=1), "use 2 steps or more, and a non-zero h"),
    _of_inputs("one-step", "T = 1: no state is carried over", _zero(steps=1),
               "use 2 steps or more"),
    _of_inputs("zero-states", "h and c are 0 at the start", _zero("hc"),
               "start from a non-zero h and c"),
    _of_inputs("zero-h", "h is 0 at the start", _zero("h"), "start from a non-zero h"),
    _of_inputs("zero-c", "c is 0 at the start", _zero("c"), "start from a non-zero c"),
    _of_inputs("same-states", "h and c are the same at the start", _states_same,
               "start from different h and c", _comparable_states),
    _of_x("zero-x", "x is 0", np.zeros_like, lambda run: True, "use a non-zero x"),
    _of_x("one-number-x", "all of x is one number", _filled, lambda run: run.x.size > 1),
    _of_x("still-x", "x is the same at every step", lambda x: np.repeat(x[:1], len(x), axis=0)),
    _of_x("palindrome-x", "x is the same when reversed", _palindrome),
)  # fmt: skip

WEAKNESSES: tuple[Weakness, ...] = (*WEIGHTS, *BIASES, *VALUES, *INPUTS)
