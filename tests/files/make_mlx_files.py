"""Make mlx_lstm.npz and its golden numbers: `python make_mlx_files.py` with mlx 0.32.4 (CPU)."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

HERE = Path(__file__).parent


def main() -> None:
    generator = np.random.default_rng(32)
    layer = nn.LSTM(3, 4)
    drawn = {
        name: generator.uniform(-0.9, 0.9, array.shape).round(4).astype(np.float32)
        for name, array in layer.parameters().items()
    }
    layer.update({name: mx.array(array) for name, array in drawn.items()})
    x, h, c = (generator.uniform(-1, 1, size).round(3) for size in ((2, 5, 3), (2, 4), (2, 4)))
    output, cells = layer(*(mx.array(each.astype(np.float32)) for each in (x, h, c)))
    layer.save_weights(str(HERE / "mlx_lstm.npz"))
    golden = {
        "file": "mlx_lstm.npz",
        "made_by": f"mlx {version('mlx')}, make_mlx_files.py",
        "layer": "",
        "convention": "mlx",
        "x": x.tolist(),
        "h0": [h.tolist()],
        "c0": [c.tolist()],
        "expected": {
            "output": np.array(output).tolist(),
            "h": np.array(output)[:, -1].tolist(),
            "c": np.array(cells)[:, -1].tolist(),
        },
        "atol": 1e-6,
    }
    (HERE / "mlx_lstm.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
