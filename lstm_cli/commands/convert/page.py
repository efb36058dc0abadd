"""A conversion as a document."""

from __future__ import annotations

from collections.abc import Iterator

from lstm_cli.base.numbers import significant
from lstm_cli.cell.weights import Model
from lstm_cli.commands.convert.conversion import Conversion
from lstm_cli.show.answer import Answer, one_record
from lstm_cli.show.document import Document, Heading, Paragraph


def convert_answer(done: Conversion, model: Model) -> Answer:
    """Return what `convert` answers."""
    own = {"schema": "lstm-step/1", "command": "convert", **done.__dict__}
    return Answer(
        lambda style: convert_document(done, model),
        one_record(lambda: own | {"assumptions": list(model.assumptions)}),
    )


def convert_document(done: Conversion, model: Model) -> Document:
    """Describe what happened to a model's weights; file names are not wrapped on a terminal."""
    title = f"{done.source} ({model.convention}) → {done.target} ({done.convention})"
    lines = (Paragraph(line, wrap=False) for line in _lines(done, model))
    return Document((Heading(title, tone="", wrap=False), *lines))


def _lines(done: Conversion, model: Model) -> Iterator[str]:
    yield from (f"assumed: {each}" for each in model.assumptions)
    if done.read_with:
        yield f"read it with {done.read_with}: its names alone do not determine the layout"
    yield from (f"moved: {each}" for each in done.moved)
    yield from (f"lost: {each}" for each in done.lost)
    if done.weight_difference is None:
        yield "not compared: something was lost"
        return
    line = f"read back: weights differ by at most {significant(done.weight_difference)}"
    if done.output_difference is not None:
        line += f", h over 5 steps by {significant(done.output_difference)}"
    yield line
