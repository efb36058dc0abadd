"""Make torch_calls.json: PyTorch called several times in a row, (h_n, c_n) handed on.

Run `python tests/golden/calls/make_torch_calls.py` with torch and numpy installed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

CALLS = (2, 1, 3)
INPUTS, HIDDEN, LAYERS = 2, 2, 2


def main() -> None:
    """Run two layers in both directions over the calls, and write what came of each."""
    pool = iter(np.random.default_rng(17).permutation(np.arange(1, 2001)) / 1000 - 1.0005)

    def take(*shape: int) -> np.ndarray:
        """Return distinct numbers, none zero."""
        return np.round([next(pool) for _ in range(int(np.prod(shape)))], 4).reshape(shape)

    lstm = torch.nn.LSTM(INPUTS, HIDDEN, LAYERS, bidirectional=True, dtype=torch.float64)
    weights = {name: take(*value.shape) for name, value in lstm.state_dict().items()}
    lstm.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    x = take(sum(CALLS), INPUTS)
    h0, c0 = take(2 * LAYERS, HIDDEN), take(2 * LAYERS, HIDDEN)
    states, outputs, ends = (torch.from_numpy(h0), torch.from_numpy(c0)), [], []
    with torch.no_grad():
        for part in torch.from_numpy(x).split(CALLS):
            output, states = lstm(part, states)
            outputs += output.tolist()
            ends.append({"h": states[0].tolist(), "c": states[1].tolist()})
    document = {
        "source": f"PyTorch {torch.__version__}, run by make_torch_calls.py",
        "weights": {name: value.tolist() for name, value in weights.items()},
        "x": x.tolist(), "h": h0.tolist(), "c": c0.tolist(), "calls": CALLS,
        "output": outputs, "ends": ends,
    }  # fmt: skip
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (Path(__file__).resolve().parent / "torch_calls.json").write_text(text)


if __name__ == "__main__":
    main()
