"""A `.weights.h5` of Keras 3: `layers/lstm/cell/vars/0…2`, or a Bidirectional's two cells.

The layout is that of keras/src/saving/saving_lib.py: layers by their class, numbered from the
second on; variables by number: kernel, recurrent_kernel, bias.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

from lstm_cli.base.errors import InputError
from lstm_cli.cell.weights import Direction
from lstm_cli.formats.save import Package


def write(package: Package, path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        InputError: a layer that is only backward, which Keras has only as go_backwards.
    """
    os.environ.setdefault("HDF5_PLUGIN_PRELOAD", "::")
    import h5py  # type: ignore[import-untyped, unused-ignore] # ships no types

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for level in sorted({level for level, _ in package.parts}):
            both = (level, "backward") in package.parts
            if both and (level, "forward") not in package.parts:
                raise InputError(
                    "a layer that only runs backward has no place in a weights file of Keras",
                    hint="give go_backwards to the layer and convert as forward",
                )
            name = ("bidirectional" if both else "lstm") + (f"_{level}" if level else "")
            # As Keras does, so that a reader knows the two directions as one layer's.
            file.create_group(f"layers/{name}/vars").attrs["name"] = name
            sides: tuple[Direction, ...] = ("forward", "backward") if both else ("forward",)
            for side in sides:
                cell = f"{side}_layer/cell" if both else "cell"
                group = file.create_group(f"layers/{name}/{cell}/vars")
                tensors = package.parts[(level, side)]
                for number, key in enumerate(("kernel", "recurrent_kernel", "bias")):
                    group.create_dataset(str(number), data=tensors[key])
    return buffer.getvalue()
