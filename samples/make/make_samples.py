"""Write the sample files in samples/ around the weights that are already there.

Run from the repository root, after train_parity.py:

    python samples/make/make_samples.py

Needs torch and numpy.  Every expected number comes from torch in float64, except those of
question.json and hand.json: these were published elsewhere and torch only confirms them.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

SAMPLES = Path(__file__).resolve().parents[1]
PARITY = "weights/parity.npz"
HAND = "weights/hand.json"
IDENTITY = {"preset": "identity"}
ATOL = 1e-9

Vector = list[float]
Weights = dict[str, np.ndarray]


def load_weights(reference: str | dict[str, str], size: int) -> Weights:
    """Return weight_ih, weight_hh, bias_ih and bias_hh for a sample's "weights"."""
    if reference == IDENTITY:
        eye, zero = np.tile(np.eye(size), (4, 1)), np.zeros(4 * size)
        return {"weight_ih": eye, "weight_hh": eye, "bias_ih": zero, "bias_hh": zero}
    path = SAMPLES / str(reference)
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {name.removesuffix("_l0"): archive[name] for name in archive.files}
    return {name: np.array(value) for name, value in json.loads(path.read_text()).items()}


def steps(
    reference: str | dict[str, str],
    x: list,
    h: Vector | None = None,
    c: Vector | None = None,
) -> list[tuple[Vector, Vector]]:
    """Run torch.nn.LSTMCell over x (T x I, or one vector); return (h, c) after each step."""
    rows = np.atleast_2d(np.array(x, dtype=np.float64))
    weights = load_weights(reference, rows.shape[1])
    hidden = weights["weight_hh"].shape[1]
    cell = torch.nn.LSTMCell(rows.shape[1], hidden, dtype=torch.float64)
    cell.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    state = tuple(torch.tensor(v or [0.0] * hidden, dtype=torch.float64) for v in (h, c))
    states = []
    with torch.no_grad():
        for row in torch.from_numpy(rows):
            state = cell(row, state)
            states.append((state[0].tolist(), state[1].tolist()))
    return states


def bits(text: str) -> list[list[int]]:
    """Turn "1011" into one vector a step."""
    return [[int(character)] for character in text]


def must_agree(what: str, got: Any, published: Any, atol: float) -> None:
    """Stop if torch does not confirm a published number."""
    gap = float(np.abs(np.array(got) - np.array(published)).max())
    print(f"{what}: torch agrees within {gap:.2g}")
    if gap > atol:
        raise SystemExit(f"{what}: differs by {gap:.3g}, more than {atol:g}")


def write_json(path: Path, data: dict) -> None:
    """Write an object with one key a line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in data.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_parity() -> None:
    """Send twelve bits through the parity network."""
    x = bits("101101001110")
    h, c = steps(PARITY, x)[-1]
    sample = {
        "id": "parity",
        "note": "A two-unit LSTM trained to keep the running parity of a bit stream. Look at h[0] "
        "after each step: h[0] > 0 when the number of ones so far is odd, h[0] < 0 when it is "
        "even. It was seen to be right over streams of 2000 fair bits; an odd answer leaks away "
        "after some 1000 zeros in a row. expected is the state after the last bit, "
        "from PyTorch in float64.",
        "x": x,
        "weights": PARITY,
        "expected": {"h": h, "c": c},
        "atol": ATOL,
    }
    write_json(SAMPLES / "parity.json", sample)


def write_question() -> dict:
    """One step with the identity weights, numbers as published in the question."""
    sample = {
        "id": "question",
        "note": "identity: each gate's weights are [I | I] and its bias 0, so z = h + x for all "
        "four. expected.f was published in the question (8 digits); expected.h is worked out "
        "from the same equations.",
        "h": [0, 0.5, 0.1, 0.2, 0.6],
        "x": [-0.1, 0.3, 0.1, -0.25, 0.1],
        "c": [0, 0, 0, 0, 0],
        "weights": IDENTITY,
        "expected": {
            "f": [0.47502081, 0.68997448, 0.549834, 0.4875026, 0.66818777],
            "h": [-0.0224727736, 0.2957163374, 0.0594368446, -0.0118706999, 0.2560644344],
        },
        "atol": 1e-8,
    }
    z = torch.tensor(sample["h"], dtype=torch.float64) + torch.tensor(
        sample["x"], dtype=torch.float64
    )
    h = steps(IDENTITY, sample["x"], sample["h"], sample["c"])[-1][0]
    must_agree("question f", torch.sigmoid(z).tolist(), sample["expected"]["f"], sample["atol"])
    must_agree("question h", h, sample["expected"]["h"], sample["atol"])
    write_json(SAMPLES / "question.json", sample)
    return sample


def write_hand() -> None:
    """Write the hand example: weights 0.01, 0.02, ... 2.00 and two steps."""
    numbers = np.arange(1, 201) / 100
    parts = np.split(numbers, [60, 160, 180])
    weights = {
        "weight_ih": parts[0].reshape(20, 3),
        "weight_hh": parts[1].reshape(20, 5),
        "bias_ih": parts[2],
        "bias_hh": parts[3],
    }
    text = json.dumps({k: v.tolist() for k, v in weights.items()}, separators=(",", ":"))
    (SAMPLES / HAND).write_text(text + "\n", encoding="utf-8")
    sample = {
        "id": "hand",
        "note": "Example by J. McCaffrey, 2019 (jamesmccaffreyblog.com/2019/07/15): LSTMCell(3, 5)"
        " with the parameters 0.01, 0.02, ... 2.00 in the order weight_ih, weight_hh, bias_ih, "
        "bias_hh, zero state. expected is the published state after the second step (4 digits).",
        "x": [[1, 2, 3], [4, 5, 6]],
        "weights": HAND,
        "expected": {
            "h": [0.9618, 0.9623, 0.9626, 0.9629, 0.9631],
            "c": [1.97, 1.976, 1.9807, 1.9843, 1.9872],
        },
        "atol": 5e-5,
    }
    h, c = steps(HAND, sample["x"])[-1]
    must_agree("hand h after step 2", h, sample["expected"]["h"], sample["atol"])
    must_agree("hand c after step 2", c, sample["expected"]["c"], sample["atol"])
    write_json(SAMPLES / "hand.json", sample)


def write_streams() -> None:
    """Write samples for batch runs, one a line."""
    whole = "1101000101100111"
    half_h, half_c = steps(PARITY, bits(whole[:8]))[-1]
    zero = [0.0, 0.0]
    stories = [
        ("one-one", bits("1"), zero, zero, PARITY),
        ("three-ones", bits("10101"), zero, zero, PARITY),
        ("a-one-then-silence", bits("1" + "0" * 29), zero, zero, PARITY),
        ("all-ones", bits("1" * 24), zero, zero, PARITY),
        ("whole", bits(whole), zero, zero, PARITY),
        ("first-half", bits(whole[:8]), zero, zero, PARITY),
        ("second-half", bits(whole[8:]), half_h, half_c, PARITY),
        ("identity-two-units", [0.5, -0.25], [0.1, 0.2], [1.0, -1.0], IDENTITY),
        (
            "identity-pulse",
            [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
            [0.0] * 3,
            [0.0] * 3,
            IDENTITY,
        ),
    ]
    lines = []
    for name, x, h, c, weights in stories:
        last_h, last_c = steps(weights, x, h, c)[-1]
        sample = {"id": name, "x": x, "h": h, "c": c, "weights": weights}
        sample |= {"expected": {"h": last_h, "c": last_c}, "atol": ATOL}
        lines.append(json.dumps(sample))
    (SAMPLES / "streams.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_batch(count: int = 16, length: int = 20) -> None:
    """Parity of sixteen random streams as one NumPy archive."""
    x = np.random.default_rng(7).integers(0, 2, size=(count, length, 1)).astype(np.float64)
    np.savez_compressed(
        SAMPLES / "batch.npz",
        id=np.array([f"stream-{number:02d}" for number in range(1, count + 1)]),
        x=x,
        weights=np.array(PARITY),
        expected_h=np.array([steps(PARITY, stream.tolist())[-1][0] for stream in x]),
        atol=np.array(ATOL),
    )


def write_steps(question: dict) -> None:
    """Single steps as a table; the state is carried over from hand-step-1 to hand-step-2."""
    (hand_h, hand_c), _ = hand = steps(HAND, [[1, 2, 3], [4, 5, 6]])
    (odd_h, odd_c), (even_h, _) = steps(PARITY, bits("11"))
    rows = [
        (
            "question",
            question["x"],
            question["h"],
            question["c"],
            "preset:identity",
            question["expected"]["h"],
            question["atol"],
        ),
        ("hand-step-1", [1, 2, 3], [0] * 5, [0] * 5, HAND, hand_h, ATOL),
        ("hand-step-2", [4, 5, 6], hand_h, hand_c, HAND, hand[1][0], ATOL),
        ("parity-odd-to-even", [1], odd_h, odd_c, PARITY, even_h, ATOL),
    ]
    with open(SAMPLES / "steps.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["id", "x", "h", "c", "weights", "expected.h", "atol"])
        for row in rows:
            table.writerow(
                [" ".join(map(str, cell)) if isinstance(cell, list) else cell for cell in row]
            )


def main() -> None:
    """Write every sample."""
    write_parity()
    question = write_question()
    write_hand()
    write_streams()
    write_batch()
    write_steps(question)


if __name__ == "__main__":
    main()
