"""`lstm-step explain`: a step worked out, or a page of the glossary."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_cli.base.errors import UsageError
from lstm_cli.commands import _inputs as i
from lstm_cli.commands import _options as o
from lstm_cli.commands._declared import differing, option

if TYPE_CHECKING:
    from lstm_cli.show.rows import View

EXAMPLES = """\b
With --x: the step as arithmetic, every product and sum with its numbers, for the unit with the
largest |h| or those of --unit. With WORD: what the word means; `explain words` lists all words.

\b
Examples:
  lstm-step explain --h 0,0.5,0.1,0.2,0.6 --x -0.1,0.3,0.1,-0.25,0.1
  lstm-step explain --x "1,2,3; 4,5,6" -w samples/weights/hand.json --unit 0:2 --only z_f,f,c
  lstm-step explain --x 0.5,1 --cell peephole --preset random --notation split -f latex
  lstm-step explain forget-gate
"""
FIRST = ("--x", "--weights", "--unit")

COMMAND = "lstm-step explain"
PAGES = o.WRITTEN
FORMATS = (*PAGES, "json")
TERMS = 8
WIDEST_PAGE = 100  # longer lines of prose are hard to read


def explain(
    word: Annotated[
        str, typer.Argument(metavar="[WORD]", help="A glossary entry; `words` lists them.")
    ] = "",
    given: i.RunOptions = i.RunOptions(COMMAND),
    terms: int = option(
        "--terms",
        default=TERMS,
        title="Show",
        min=1,
        metavar="N",
        help="Show only the N largest products of a sum one by one.",
    ),
    view: o.ViewOptions = o.ViewOptions(),
    form: o.FormatOptions = o.FormatOptions(FORMATS),
    color: o.ColorOptions = o.ColorOptions(),
) -> None:
    """Work out a step with its numbers, or explain a word.

    Shows the equation of each gate with its numbers substituted, stage by stage, and a sentence on
    what the gate does; or a page of the glossary.
    """
    if not word:
        _work_out(given, replace(view.view(), terms=terms), form, color)
        return
    if form.as_json or form.format_ == "json":
        raise UsageError(
            "a glossary page has no JSON form",
            where="--json" if form.as_json else "-f json", hint=f"one of: {', '.join(PAGES)}",
        )  # fmt: skip
    beside = [*differing(given, view.choice, view.digits, color)]
    beside += ["--terms"] if terms != TERMS else []
    i.refuse_beside("the word", beside, COMMAND)
    _write_word(word, replace(form, formats=PAGES).pick(), view.notation.notation, form.output)


def _write_word(word: str, kind: str, notation: o.NotationName, output: str) -> None:
    """Write the glossary page of a word, or the index."""
    import shutil

    from lstm_cli.commands.explain.glossary import word_named
    from lstm_cli.commands.explain.glossary_page import index, page
    from lstm_cli.files.output import write_out
    from lstm_cli.show.sheets import in_ascii

    width = min(shutil.get_terminal_size((80, 24)).columns, WIDEST_PAGE)
    listed = word.strip().lower() == "words"
    pieces = index(kind) if listed else page(word_named(word), kind, notation, width)
    pretty = output != "-" or "utf" in (sys.stdout.encoding or "").lower()
    write_out(pieces if pretty else map(in_ascii, pieces), output)


def _work_out(
    given: i.RunOptions, view: View, form: o.FormatOptions, color: o.ColorOptions
) -> None:
    """Write the worked arithmetic of the chosen steps and units."""
    if not given.vectors.x:
        raise UsageError(
            "--x is missing: there is no step to explain", where=COMMAND,
            hint=f"`{COMMAND} --h 0,0.5 --x 1,0.3` or `{COMMAND} forget-gate`",
        )  # fmt: skip
    chosen = form.pick()
    trace = given.trace("text")  # one sample at a time, even in JSON

    from lstm_cli.commands.explain.explanation import Explanation

    work = Explanation(trace, view)
    o.emit(work.answer, "" if chosen == "text" else chosen, form, color)
    if chosen not in ("text", "json"):  # which say so themselves
        i.say_assumed(trace.assumptions, trace.engine)
