"""Warnings that save a day: what a file's variant means elsewhere, each with its source."""

from __future__ import annotations

from collections.abc import Iterator

from lstm_cli.cell.traits import Traits
from lstm_cli.formats.conventions import Convention


def advice(row: Convention, traits: Traits) -> list[str]:
    """Return a sentence on each setting of a layer that other software reads otherwise.

    Args:
        row: the layout that the layer was stored in.
        traits: what the layer computes.
    """
    return list(dict.fromkeys(_sentences(row, traits)))


def _sentences(row: Convention, traits: Traits) -> Iterator[str]:
    names = [text.partition("(")[0] for text in traits.activations]
    if "hard_sigmoid" in names:
        yield (
            "hard_sigmoid here is 0.2 z + 0.5 (Keras 1 and 2, ONNX); Keras 3 and PyTorch mean "
            "z / 6 + 0.5 by that name: 0.7 against 0.6667 at z = 1 (keras issue 19898)"
        )
        if row.name.startswith("keras"):
            yield (
                "a Keras 2 file: opened in Keras 3 its gates change without a word "
                "(keras issue 19898)"
            )
    if "hard_sigmoid_6" in names:
        yield (
            "hard_sigmoid here is z / 6 + 0.5 (Keras 3, PyTorch); Keras 1 and 2 and ONNX mean "
            "0.2 z + 0.5 by that name: 0.6667 against 0.7 at z = 1 (keras issue 19898)"
        )
    if traits.forget_bias:
        yield (
            f"the run time adds {traits.forget_bias:g} to the forget gate, which no tensor holds "
            f"({row.source}); a port that leaves it out differs from step 2 on"
        )
    if row.name == "tflite" and traits.cell_clip == 10.0:
        yield (
            "cell_clip 10 is what the TensorFlow Lite converter writes; the Keras model it came "
            "from had no clip (seen in every converted file looked at)"
        )
    if traits.clip and row.name == "onnx":
        yield (
            "ONNX Runtime clips pre-activations but not c before the output activation "
            "(onnxruntime issue 27224)"
        )
