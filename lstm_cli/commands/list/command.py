"""`lstm-step list`: cells, presets, conventions, formats, mistakes and more, with sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from lstm_cli.base.errors import UsageError, safe, suggest
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import option

EXAMPLES = """\b
Examples:
  lstm-step list presets
  lstm-step list cells
  lstm-step list conventions --json
  lstm-step list mistakes forget-bias-omitted
"""

FIRST = ("--json", "--markdown", "--output")
FORMATS = ("table", "json", *o.WRITTEN)

Row = dict[str, Any]


def _cells() -> list[Row]:
    from lstm_cli.cell.cells import LSTM, VARIANTS, cell_named, describe_edit
    from lstm_cli.cell.notation import PLAIN, write_equation
    from lstm_cli.cell.shapes import describe

    table = [" = ".join(write_equation(row, PLAIN)) for row in LSTM.equations]
    known, sources = set[str](), 0  # of a variant, what the LSTM has too is left out
    rows = []
    for cell in map(cell_named, ["lstm", *VARIANTS]):
        own = [f"{key} {describe(shape)}" for key, shape in cell.parameters.items()
               if key not in known]  # fmt: skip
        rows.append(
            {"name": cell.name, "what": cell.title, "equations": describe_edit(cell, LSTM) or table,
             "parameters": own, "source": "; ".join(cell.sources[sources:])}
        )  # fmt: skip
        known, sources = set(LSTM.parameters), len(LSTM.sources)
    return rows


def _presets() -> list[Row]:
    from lstm_cli.cell.presets import PRESETS

    return [{"name": preset.name, "shows": preset.shows} for preset in PRESETS.values()]


def _conventions() -> list[Row]:
    from lstm_cli.formats.conventions import CONVENTIONS

    return [
        {"name": row.name, "what": row.title, "source": row.source,
         "gates": " ".join(row.order), "confirmed by": row.confirmed_by or "nothing yet"}
        for row in CONVENTIONS.values()
    ]  # fmt: skip


def _formats() -> list[Row]:
    from lstm_cli.formats.registry import FORMATS

    return [
        {"name": each.name, "read": " ".join(each.suffixes) if each.reads else "",
         "what": each.title, "written": " ".join(each.writes), "missing": each.missing}
        for each in FORMATS
        if each.reads or each.writes
    ]  # fmt: skip


def _activations() -> list[Row]:
    from lstm_cli.cell.equations import is_activation

    return [row for row in _functions() if is_activation(row["name"])]


def _functions() -> list[Row]:
    from lstm_cli.cell.equations import FUNCTIONS
    from lstm_cli.cell.notation import PLAIN, write_definition

    return [
        {"name": name, "definition": write_definition(name, PLAIN)
         or f"{name}({', '.join(function.parameters)})"}
        for name, function in FUNCTIONS.items()
        if not function.operator
    ]  # fmt: skip


def _mistakes() -> list[Row]:
    from lstm_cli.mistakes.catalogue import MISTAKES, formula_of

    return [
        {"name": row.id, "what": row.title, "computes": formula_of(row), "source": row.source,
         "kind": row.kind, "numbers": list(row.numbers)}
        for row in MISTAKES.values()
    ]  # fmt: skip


def _mistake_pages(name: str) -> list[Row]:
    """The mistakes of an id, which may refer to several, in full."""
    from lstm_cli.mistakes.catalogue import formula_of, rows_named

    return [
        {"name": row.id, "what": row.title, "computes": formula_of(row), "meaning": row.meaning,
         "cause": row.cause, "fix": row.fix,
         "certain": "the fix is certain if this is the mistake" if row.certain
         else "the cause is likely but not certain",
         "source": row.source, "options": row.options, "kind": row.kind,
         "numbers": list(row.numbers)}
        for row in rows_named(name)
    ]  # fmt: skip


KINDS: dict[str, Callable[[], list[Row]]] = {
    "cells": _cells,
    "presets": _presets,
    "conventions": _conventions,
    "formats": _formats,
    "activations": _activations,
    "functions": _functions,
    "mistakes": _mistakes,
}


def list_(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help=", ".join(KINDS), autocompletion=lambda: list(KINDS)),
    ],
    name: Annotated[str, typer.Argument(metavar="[ID]", help="A mistake to show in full.")] = "",
    form: o.FormatOptions = o.FormatOptions(FORMATS),
    markdown: bool = option("--markdown", default=False, help="Same as -f markdown."),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """List cells, presets and more.

    Also conventions, file formats, activations, the functions for a cell's equations, and known
    mistakes.
    """
    if kind not in KINDS:
        raise UsageError(f"cannot list '{kind}'", where="KIND", hint=suggest(kind, KINDS))
    if name and kind != "mistakes":
        raise UsageError(
            f"{kind} have no individual pages", where="ID", hint=f"lstm-step list {kind}"
        )
    if markdown and form.format_ not in ("", "markdown"):
        raise UsageError(
            f"--markdown and -f {safe(form.format_)} contradict each other", where="-f",
            hint="keep one of them",
        )  # fmt: skip
    chosen = (replace(form, format_="markdown") if markdown else form).pick()
    rows = _mistake_pages(name) if name else KINDS[kind]()
    from lstm_cli.commands.list.page import list_answer

    o.emit(list_answer(rows), chosen, form, color)
