"""One sample: what it holds, and how a decoded JSON object becomes one or says why not."""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import InputError, LstmStepError, ShapeError, safe
from lstm_cli.base.foreign import Foreign
from lstm_cli.cell.cells import Settings
from lstm_cli.files.safe import to_array
from lstm_cli.files.vectors import parse_rows

KEYS = ("id", "x", "h", "c", "weights", "cell", "convention", "forget_bias", "clip", "cell_clip",
        "activations", "steps", "length", "lengths", "mask", "padding", "calls", "expected", "atol",
        "note")  # fmt: skip
# Other names of the states before the step.
ALIASES = {"h_prev": "h", "h0": "h", "hx": "h", "c_prev": "c", "c0": "c", "cx": "c"}
# What a step of `run -f jsonl` has besides its values, of which these are the LSTM's.
_STEP = frozenset(("layer", "direction", "t", "h_prev"))
_OF_STEP = re.compile(r"z_[a-z]|[figo]")
# Members of an answer: a sample's own of these names would be taken for ours.
ANSWERED = ("schema", "ok", "engine", "assumptions", "warnings", "check", "error")


@dataclass(frozen=True, eq=False)
class Sample:
    """One thing to evaluate.

    Attributes:
        id: its name in the answer.
        x: `(T, I)`.
        h, c: rows `(L·D, n)`, or None for zeros.
        weights: a path, `{"preset": name, …}`, arrays by name, or None for the batch's own.
        cell, convention: names, "" for the batch's own.
        settings: what is added to the cell, as the options of the same names do.
        steps: as `--steps`; 0 where not given.
        calls: as `--calls`, or the lengths; "" where not given.
        masks: arguments `lengths`, `mask` and `padding` of `run`, those that are given.
        expected: symbol -> `(n,)` for the last step or `(T, n)` for all.
        atol: the largest difference that still counts as equal; None for the batch's own.
        extra: the user's own members, handed on to the answer.
        folder: what paths in it are relative to.
        place: where it is, for messages.
        assumed: what was assumed to read it.
    """

    id: Foreign
    x: Array
    h: Array | None = None
    c: Array | None = None
    weights: Any = None
    cell: str = ""
    convention: str = ""
    settings: Settings = field(default_factory=Settings)
    steps: int = 0
    calls: str | tuple[int, ...] = ""
    masks: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Array] = field(default_factory=dict)
    atol: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)
    place: str = ""
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class BadSample:
    """A sample that could not be read, in the place where its answer would be."""

    id: Foreign
    error: LstmStepError
    extra: Mapping[str, Any] = field(default_factory=dict)


Read = Sample | BadSample


def read_sample(document: Any, default_id: str, folder: Path, place: str) -> Read:
    """Build a sample from a decoded JSON object, or a `BadSample` with the reason why not."""
    if not isinstance(document, dict):
        error = NoSample("not an object", where=place, hint='{"x": […], "weights": …}')
        return BadSample(Foreign.of(default_id), error)
    name = default_id if document.get("id") is None else str(document["id"])
    try:
        return _build(document, name, folder, place)
    except NoSample as error:
        return BadSample(Foreign.of(name), error)
    except LstmStepError as error:
        return BadSample(Foreign.of(name), error, extra_members(document))


def extra_members(document: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own members, except those that an answer has itself."""
    return {key: document[key] for key in extra_keys(tuple(document))}


@lru_cache(maxsize=256)
def extra_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that belong neither to a sample nor to an answer."""
    return tuple(
        key for key, name in zip(keys, members_of(keys), strict=True)
        if key == name and key not in KEYS and key not in ANSWERED
    )  # fmt: skip


@lru_cache(maxsize=256)  # samples of a file mostly have the same keys
def members_of(keys: tuple[str, ...], answered: bool = False) -> tuple[str, ...]:
    """The members of a sample that keys stand for: `h0` for `h`; keys of one's own are as they are.

    Beside `h_prev`, and in what we `answered`, `h` and `c` are what should come out: `expected.h`.
    So are the gates of a step of our own.
    """
    out = ("h", "c") if answered or "h_prev" in keys else ()
    values = _OF_STEP.fullmatch if _STEP.issubset(keys) else out.__contains__
    return tuple(
        f"expected.{key}" if key in out or values(key) else ALIASES.get(key, key) for key in keys
    )


# Names under which people keep what should come out.
RESULTS = re.compile("(label|output|out|result|answer|prediction|pred)s?|y(_?t)?|truth", re.I)
# A text that is a vector, or rows of one.
_A_NUMBER = r"[+-]?[0-9.][0-9.eE+-]*"
_NUMBERS_IN_TEXT = re.compile(rf"\[?{_A_NUMBER}(?:[ ,;]+{_A_NUMBER})+\]?")


def shape_of_own(value: Any) -> tuple[int, ...] | None:
    """The shape of a member that is a vector, or rows of equal length; None of anything else."""
    if isinstance(value, str):
        if not _NUMBERS_IN_TEXT.fullmatch(value):
            return None
        rows = [[0.0] * len(re.split("[ ,]+", row.strip(" ,[]"))) for row in value.split(";")]
        value = rows if len(rows) > 1 else rows[0]
    elif not isinstance(value, list) or not value:
        return None
    if type(value[0]) is not list:
        return (len(value),) if {int, float}.issuperset(map(type, value)) else None
    widths = {len(row) if type(row) is list else -1 for row in value}
    return (len(value), *widths) if len(widths) == 1 and -1 not in widths else None


def symbol_of(member: str) -> str:
    """The symbol of a member or column such as `expected.h` or `expected_h`, or ""."""
    start = member[: len("expected_")]
    return member[len(start) :] if start in ("expected_", "expected.") else ""


def _build(document: Mapping[str, Any], name: str, folder: Path, place: str) -> Sample:
    answered = is_answer(document.get("schema"))
    # Checked first, for what is not a sample at all, such as a file of weights.
    if not has_x(document):
        raise no_sample(tuple(document), place, answered)
    extra = extra_members(document)
    document = _named(document, place, answered)
    expected = document["expected"]
    return Sample(
        Foreign.of(name),
        _rows(document["x"], "x", place),
        _optional_rows(document, "h", place),
        _optional_rows(document, "c", place),
        weights=document.get("weights"),
        cell=_text(document, "cell", place),
        convention=_text(document, "convention", place),
        settings=_settings(document, place),
        steps=_count(document.get("steps", 0), place),
        calls=_calls(document.get("calls"), place),
        masks=_masks(document, place),
        expected={
            key: np.atleast_1d(to_array(value, f"expected {key}", place, max_axes=4))
            for key, value in expected.items()
        },
        atol=_tolerance(document.get("atol"), place),
        extra=extra,
        folder=folder,
        place=place,
    )


def has_x(keys: Iterable[str]) -> bool:
    """Whether one of the keys is x, or looks like it."""
    return any(key == "x" or _meaning(key)[0] == "x" for key in keys)


class NoSample(InputError):
    """What is read as a sample is something else: weights, an answer, a table of other things."""


def no_sample(keys: Sequence[str], place: str, answered: bool = False) -> NoSample:
    """The error of an object or a table without x: it says what it is, or what it has."""
    if answered:
        hint = "the steps of a run are samples: lstm-step run -f jsonl"
        return NoSample("this is an answer of lstm-step, not a sample", where=place, hint=hint)
    if weights := [key for key in keys if key not in KEYS and _meaning(key)[0] == "weights"]:
        what = f"these are weights, not a sample: {listed(weights)}"
        hint = "--weights takes the file; a sample needs at least x"
        return NoSample(what, where=place, hint=hint)
    shown = f": there {'is' if len(keys) == 1 else 'are'} {listed(keys)}" if keys else ""
    hint = "a sample needs at least x"
    if any(map(_NUMBERED_X.fullmatch, keys)):
        hint += ', and in JSON x is one list: "x": [0.5, 1]'
    return NoSample(f"'x' is missing{shown}", where=place, hint=hint)


def listed(names: Sequence[str]) -> str:
    """Names for a message, the first of many."""
    shown = ", ".join(safe(name)[:40] for name in names[:_MOST_NAMED])
    return shown + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")


def _named(document: Mapping[str, Any], place: str, answered: bool) -> dict[str, Any]:
    """A sample by the names of its members, with all that should come out under `expected`.

    Raises:
        InputError: a key that looks like one of ours, or two for one thing.
    """
    keys = tuple(document)
    check_keys(keys, place, answered=answered)
    named = dict(zip(members_of(keys, answered), document.values(), strict=True))
    expected = named.get("expected", {})
    if not isinstance(expected, dict):
        raise InputError("'expected' is not an object", where=place, hint='{"h": […], "f": […]}')
    own = {symbol_of(key): named[key] for key in named if key.startswith("expected.")}
    if twice := sorted(own.keys() & expected):
        what = f"'{twice[0]}' should come out, and is under 'expected' too"
        raise InputError(what, where=place, hint="keep one")
    return named | {"expected": expected | own}


# Lookalikes of our keys: meaning -> spellings. Case makes no difference, nor does what separates
# the parts of a name; a name of five letters or more may be written as one word. A sample has no
# `dtype` yet, and ignoring it would change the numbers. What changes no number (`ID`, `notes`) is
# let through. `$` is the state's letter, `%` its word.
_OF_STATES = (
    "$_prev $_previous prev_$ previous_$ $_init $_initial init_$ initial_$ $_in $_start start_$ "
    "$_before $_t_1 $_t_minus_1 $_tm1 $t_1 $x $_state state_$ %_state %_states %_prev %_init %_0 "
    "prev_% previous_% init_% initial_% prev_%_state previous_%_state init_%_state initial_%_state "
    "$_old old_$ $_prev_state $_init_state $_initial_state %_state_prev %_state_init %_state_0"
)
_SPELLINGS = {
    "x": "x_t input inputs input_x x_in x_input input_seq input_sequence x_seq x_sequence",
    "h": _OF_STATES.replace("$", "h").replace("%", "hidden") + " hidden initial_state "
         "initial_states init_state init_states prev_state prev_states previous_state "
         "previous_states start_state starting_state zero_state rnn_state lstm_state init_carry "
         "initial_carry",
    "c": _OF_STATES.replace("$", "c").replace("%", "cell"),
    "weights": "weight model models weights_file weight_file weights_path weight_path model_file "
               "model_path model_weights checkpoint checkpoint_path checkpoint_file ckpt ckpt_path "
               "pretrained_weights state_dict preset hidden_size output_size weight_ih weight_hh "
               "bias_ih bias_hh w_ih w_hh "
               "W_f W_i W_g W_c W_o U_f U_i U_g U_c U_o b_f b_i b_g b_c b_o weight_ih_l0 "
               "weight_hh_l0 bias_ih_l0 bias_hh_l0 recurrent_kernel",
    "cell": "cells cell_type cell_kind cell_file rnn_cell lstm_cell rnn_type lstm_type",
    "convention": "conventions gate_order weight_convention",
    "forget_bias": "f_bias bias_forget forget_gate_bias",
    "clip": "clips clipping clip_value gate_clip",
    "cell_clip": "c_clip clip_c clip_cell clip_cell_state cell_state_clip cell_clipping "
                 "cell_clip_value",
    "activations": "activation recurrent_activation gate_activation activation_function "
                   "activation_functions",
    "steps": "step n_steps num_steps number_of_steps timesteps n_timesteps num_timesteps",
    "calls": "call_lengths call_steps call_sizes",
    "expected": "expect expects expectation expectations target targets target_h target_c h_target "
                "c_target h_expected c_expected expected_h expected_c expected_f expected_i "
                "expected_g expected_o expected_output expected_outputs ground_truth y_true h_t "
                "c_t h_n c_n h_out c_out h_next c_next h_new c_new h_final c_final final_h final_c "
                "h_last c_last last_h last_c",
    "atol": "tol tols rtol tolerance tolerances abs_tol absolute_tolerance",
    "length": "len seq_len seq_lens seq_length seq_lengths sequence_len sequence_lens "
              "sequence_length sequence_lengths input_len input_lens input_length input_lengths "
              "x_len x_lens x_length x_lengths valid_len valid_length valid_lengths valid_steps "
              "n_valid true_len true_length real_len real_length actual_len actual_length",
    "merge": "merge_mode",
    "mask": "masks masking mask_value attention_mask seq_mask sequence_mask input_mask x_mask "
            "pad_mask padding_mask key_padding_mask src_mask src_key_padding_mask valid_mask "
            "padding_value pad_value",
    "dtype": "dtypes x_dtype",
}  # fmt: skip
# Options of the same names hold for all samples; the samples' own are not supported.
_INSTEAD = {
    key: f"--{key} holds for all samples" for key in ("dtype", "gates", "joined", "lstm", "merge",
                                                      "transpose")
} | {"go_backwards": "the weights say the direction; turn x and its rows round"}  # fmt: skip
_BETWEEN = re.compile(r"[\s_.\-−^()\[\]{}]+")
# One number of a state (h0, c_1), a value of a step (z_f).
_STATE, _VALUE = re.compile(r"([hc])_?[0-9]{1,6}"), re.compile(r"z_[a-z]")
# In length_s or weight_g the last letter is a unit, not a slip for `lengths` or `weights`.
_UNIT = re.compile("_[a-z]$")
# Keys that may be misspelt; others are too close to users' own words (`mode`, `experts`).
_MISSPELT = (
    *(key for key in KEYS if len(key) > 3 and key not in ("note", "calls")), "h_prev", "c_prev",
    "hidden", "hidden_state", "cell_state", "initial_state", "inputs", "weight", "target",
    "targets", "seq_length", "sequence_length", "attention_mask",
)  # fmt: skip
# Columns of one number each, which JSON has as a list.
_NUMBERED_X = re.compile(r"x_?[0-9]+|x\[[0-9]+\]", re.IGNORECASE)
_MOST_NAMED = 6
# A longer key cannot look like one of ours.
_MOST_LETTERS = 40


def _spellings() -> dict[str, str]:
    """Map spellings to meanings; those of five letters or more also as one word."""
    found = {key: key for key in (*KEYS, *_INSTEAD) if key not in ("id", "note")}
    for meaning, words in _SPELLINGS.items():
        found |= dict.fromkeys(words.lower().split(), meaning)
    return {_in_one(word): meaning for word, meaning in found.items()} | found


def _in_one(name: str) -> str:
    """A name as one word, if that is long enough to be recognized."""
    whole = name.replace("_", "")
    return whole if len(whole) > 4 else name


_MEANINGS = _spellings()


def check_keys(keys: Sequence[str], place: str, word: str = "key", answered: bool = False) -> None:
    """Refuse a key (or what `word` says) that looks like one of ours; others are the user's own.

    Raises:
        InputError: with the key that is meant.
    """
    members = members_of(tuple(keys), answered)
    if "expected.c" in members and "c" not in members and not answered:
        what = f"{word} 'c' beside 'h_prev' may be the state before, or what should come out"
        hint = "call the state before c_prev; what should come out goes under 'expected'"
        raise InputError(what, where=place, hint=hint)
    wrong = _lookalike(tuple(keys), answered)
    if wrong is None:
        return
    key, meaning = wrong
    keys = (*keys, *members)
    if meaning in _INSTEAD:
        what, hint = f"{word} '{safe(key)}' is not supported", _INSTEAD[meaning]
    elif meaning not in keys:
        in_table = meaning == "expected" and word != "key"  # a table has one column a symbol
        shown = "expected.h" if in_table else meaning
        what, hint = f"unknown {word} '{safe(key)}'", f"did you mean '{shown}'?"
        if meaning == "mask":
            hint += " it has 1 for a step that is run, 0 for one that is not"
    else:
        what, hint = f"{word} '{safe(key)}' looks like '{meaning}', which is there too", "keep one"
        if meaning in ("h", "c"):
            hint = f"'{meaning}' is the state before; what should come out goes under 'expected'"
    own = f"{'an' if word == 'array' else 'a'} {word} of your own needs another name"
    raise InputError(what, where=place, hint=f"{hint}{'' if hint[-1] == '?' else ';'} {own}")


@lru_cache(maxsize=256)
def _lookalike(keys: tuple[str, ...], answered: bool) -> tuple[str, str] | None:
    """The first key that looks like one of ours, and the one it looks like."""
    members = members_of(keys, answered)
    for key, member in zip(keys, members, strict=True):
        others = [k for k, m in zip(keys, members, strict=True) if m == member and k != key]
        if key != member and others:
            return key, others[0]
        meaning, misspelt = _meaning(key)
        # If the right key is there too, one that only resembles it is another word.
        if meaning and key == member and key not in KEYS and not (misspelt and meaning in members):
            return key, meaning
    return None


@lru_cache(maxsize=4096)
def _meaning(key: str) -> tuple[str, bool]:
    """Find the key of ours that a key looks like, or "", and whether it is a misspelling."""
    if len(key) > _MOST_LETTERS:
        return "", False
    name = _BETWEEN.sub("_", unicodedata.normalize("NFKC", key).casefold()).strip("_")
    measured = _UNIT.search(name)
    for spelling in (name,) if measured else (name, _in_one(name)):
        if spelling in _MEANINGS:
            return _MEANINGS[spelling], False
    if state := _STATE.fullmatch(name):
        return state[1], False
    if _VALUE.fullmatch(name):
        return "expected", False
    words = () if measured else _MISSPELT
    near = next((word for word in words if _is_slip(_in_one(name), _in_one(word))), "")
    return _MEANINGS.get(near, ""), bool(near)


def _is_slip(name: str, word: str) -> bool:
    """Whether a name is a word with one letter added, dropped or changed, or two swapped."""
    if name[:1] != word[0] or abs(len(name) - len(word)) > 1:
        return False
    own, right = name, word
    while own and right and own[0] == right[0]:
        own, right = own[1:], right[1:]
    while own and right and own[-1] == right[-1]:
        own, right = own[:-1], right[:-1]
    swapped = len(own) == 2 and own == right[::-1]
    slip = swapped or max(len(own), len(right)) == 1
    return slip and difflib.SequenceMatcher(None, name, word).ratio() > 0.8


def is_answer(schema: Any) -> bool:
    """Whether the `schema` of an object says that it is an answer of ours."""
    return isinstance(schema, str) and schema.startswith("lstm-step/")


def _rows(value: Any, key: str, place: str) -> Array:
    if isinstance(value, str):
        return parse_rows(value, key, place)
    array = to_array(value, key, place)
    if array.ndim == 0 or array.ndim > 2:
        what = f"{key} has shape {array.shape}, needs (n,) or (rows, n)"
        raise ShapeError(what, where=place, hint="one sample holds one sequence")
    if not np.isfinite(array).all():
        raise InputError(f"{key} is not finite", where=place, hint="give finite numbers")
    return np.atleast_2d(array)


def _optional_rows(document: Mapping[str, Any], key: str, place: str) -> Array | None:
    return None if document.get(key) is None else _rows(document[key], key, place)


def _text(document: Mapping[str, Any], key: str, place: str) -> str:
    value = document.get(key) or ""
    if not isinstance(value, str):
        raise InputError(f"'{key}' is not text", where=place, hint=f'"{key}": "name"')
    return value


def _settings(document: Mapping[str, Any], place: str) -> Settings:
    numbers = {key: document.get(key) for key in ("forget_bias", "clip", "cell_clip")}
    for key, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"'{key}' is not a number", where=place, hint=f'"{key}": 1')
    return Settings(**numbers, activations=_text(document, "activations", place))


def _count(value: Any, place: str, key: str = "steps") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"'{key}' is not a whole number", where=place, hint=f'"{key}": 3')
    return value


def _calls(value: Any, place: str) -> str | tuple[int, ...]:
    """Return the lengths of calls, which `engine.run` checks, or "" for a single one."""
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list) or not value or any(type(each) is not int for each in value):
        hint = '"calls": [10, 10], or "1x20" for twenty calls of one step'
        raise InputError("'calls' is not a list of whole numbers", where=place, hint=hint)
    return tuple(value)


def _masks(document: Mapping[str, Any], place: str) -> dict[str, Any]:
    given = {key: value for key in ("length", "lengths", "mask", "padding")
             if (value := document.get(key)) is not None}  # fmt: skip
    if len(given.keys() - {"padding"}) > 1:
        what = f"{' and '.join(sorted(given.keys() - {'padding'}))} are both given"
        raise InputError(what, where=place, hint="keep one of them")
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key == "padding":
            found[key] = _text(document, key, place)
        elif key == "mask":
            flags = value if isinstance(value, list) else []
            numbers = [int(each) if isinstance(each, bool) else each for each in flags]
            found[key] = _rows(numbers or value, key, place).ravel().tolist()
        else:
            one = value[0] if isinstance(value, list) and len(value) == 1 else value
            found["lengths"] = _count(one, place, key)
    return found


def _tolerance(value: Any, place: str) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise InputError("'atol' is not a number from 0", where=place, hint='"atol": 1e-6')
    return abs(float(value))  # not -0.0
