"""Writers of text, numbers and tables in four formats: plain text, Markdown, LaTeX, HTML.

A `Writer` turns each part of a page into text; the content of the page is decided elsewhere.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np
from rich.cells import cell_len, set_cell_size

from lstm_cli.base.arrays import Array
from lstm_cli.base.foreign import Foreign, html, latex, markdown, markdown_code, safe
from lstm_cli.base.numbers import latex_number
from lstm_cli.base.paste import CommandLine
from lstm_cli.cell.notation import LATEX, UNICODE, Style
from lstm_cli.files.output import plain_list
from lstm_cli.show.rows import ValueLine

WIDTH = 80


def _value_table(
    writer: Writer, named: bool, units: Sequence[int], lines: Sequence[ValueLine],
    formula: Callable[[str], str],
) -> tuple[list[str], list[list[str]], list[bool]]:  # fmt: skip
    """Return the arguments of `Writer.table` for `Writer.values`."""
    words = ["symbol", "name", "equation"] if named else ["symbol", "equation"]
    rows = [
        [formula(line.shown), *([writer.escape(line.label)] if named else []),
         formula(line.equation), *line.numbers]
        for line in lines
    ]  # fmt: skip
    right = [False] * len(words) + [True] * len(units)
    return [*words, *map(str, units)], rows, right


def number_texts(array: Array) -> list[list[str]]:
    """Format numbers as briefly as possible, by rows; 0.3 for the sum 0.30000000000000004."""
    neat = np.round(array, 12)
    noise = np.abs(neat - array) <= 4 * np.finfo(float).eps * np.maximum(1.0, np.abs(array))
    rows = plain_list(np.atleast_2d(np.where(noise, neat, array)))
    return [[str(each).removesuffix(".0") for each in row] for row in rows]


class Writer:
    """Writes the parts of a page: as plain Unicode text here, in another format in a subclass.

    Attributes:
        style: of symbols and equations.
        blank: where an answer is to be written.
        width: of lines of prose; where the format wraps those, of code, and two more.
        wraps_cells: whether table cells wrap when displayed.
    """

    style: Style = UNICODE
    blank = "_________"
    width = WIDTH
    wraps_cells = False

    def begin(self, title: str) -> str:
        """Start of a page; its title may be ""."""
        return f"{title}\n{'=' * len(title)}\n\n" if title else ""

    def end(self) -> str:
        """End of a page."""
        return ""

    def heading(self, text: str, level: int = 2) -> str:
        """Return a heading; level 3 is below another."""
        return f"{text}\n" + (f"{'-' * len(text)}\n\n" if level < 3 else "\n")

    def paragraph(self, text: str) -> str:
        """Return a paragraph; foreign text in it must already be escaped."""
        return _filled(text, self.width) + "\n\n"

    def math(self, text: str) -> str:
        """Return inline mathematics: a symbol or an equation in the writer's style."""
        return text

    def code(self, text: str | Foreign) -> str:
        """Return inline code."""
        # A command stays on its line.
        return safe(text).replace(" ", "\xa0") if isinstance(text, CommandLine) else safe(text)

    def verbatim(self, text: str) -> str:
        """Return preformatted lines, such as a drawing."""
        lines = text.strip("\n").splitlines()
        return "".join(f"  {line}".rstrip() + "\n" for line in lines) + "\n"

    def items(self, rows: Sequence[tuple[str, str]]) -> str:
        """Return a description list of (name, text), both already in the writer's format."""
        return "".join(
            _indented(name, self.width, 2) + _indented(said, self.width, 6) for name, said in rows
        ) + "\n"  # fmt: skip

    def escape(self, text: str | Foreign) -> str:
        """Escape foreign text for the writer's format."""
        return safe(text)

    def arrays(self, named: Sequence[tuple[str, Array]]) -> str:
        """Return named vectors and matrices, several on a line if they fit."""
        return "".join(f"{_matrix_text(name, array)}\n" for name, array in named) + "\n"

    def equations(self, rows: Sequence[tuple[str, str]]) -> str:
        """Return equations, given as (label, equation)."""
        wide = max((cell_len(equation) for _, equation in rows), default=0)
        return "".join(f"  {set_cell_size(each, wide)}   {name}\n" for name, each in rows) + "\n"

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()
    ) -> str:
        """Return a table; its cells are already in the writer's format.

        Args:
            head: column headings; all "" for none.
            rows: the cells.
            right: which columns are right-aligned; by default, all but the first two.
        """
        widths = [max(map(cell_len, column)) for column in zip(head, *rows, strict=True)]
        places = [_pushed if each else set_cell_size for each in right or _numbers_right(head)]
        lines = []
        for row in (head, *rows) if any(head) else rows:
            cells = zip(row, widths, places, strict=True)
            lines.append("  ".join(place(cell, width) for cell, width, place in cells).rstrip())
        if any(head):
            lines.insert(1, "─" * (sum(widths) + 2 * len(widths) - 2))
        return "\n".join(lines) + "\n\n"

    def values(
        self, heading: str, named: bool, units: Sequence[int], lines: Sequence[ValueLine]
    ) -> str:
        """Return vectors beside their equations.

        Args:
            heading: the place that they belong to; our own words.
            named: whether there is a column for labels, which may be foreign.
            units: heads of the columns of numbers.
            lines: a line each.
        """
        return self.heading(heading) + self.table(*_value_table(self, named, units, lines, str))

    def definition(self, text: str) -> str:
        """Return what a function in equations means, written in the writer's style."""
        return f"{text}\n\n"

    def page_break(self) -> str:
        """Return a page break."""
        return "\f\n"


def _numbers_right(head: Sequence[str]) -> list[bool]:
    """Right-align the columns after the first two: those are words, the rest numbers."""
    return [place > 1 for place in range(len(head))]


def _indented(text: str, width: int, by: int) -> str:
    """Indent a paragraph, its continuation lines by two more spaces."""
    lead = " " * by
    return _filled(text, width, lead, lead + "  ") + "\n"


def _filled(text: str, width: int, first: str = "", further: str = "") -> str:
    lines = textwrap.fill(text, width, initial_indent=first, subsequent_indent=further,
                          break_on_hyphens=False, break_long_words=False)  # fmt: skip
    return lines.replace("\xa0", " ")


def _pushed(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _matrix_text(name: str, array: Array) -> str:
    """Return `x = [1, 2]`, or a matrix with one row per line."""
    rows = number_texts(array)
    if array.ndim == 1:
        return f"{name} = [{', '.join(rows[0])}]"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lead = f"{name} = "
    lines = [
        "[ " + "  ".join(n.rjust(w) for n, w in zip(row, widths, strict=True)) + " ]"
        for row in rows
    ]
    return lead + f"\n{' ' * len(lead)}".join(lines)


class _MarkdownWriter(Writer):
    """Markdown that is also readable unrendered: equations and matrices are code."""

    width = 98
    wraps_cells = True

    def begin(self, title: str) -> str:
        return f"# {title}\n\n" if title else ""

    def heading(self, text: str, level: int = 2) -> str:
        return f"{'#' * level} {text}\n\n"

    def paragraph(self, text: str) -> str:
        return f"{text}\n\n"

    def math(self, text: str) -> str:
        return f"`{text}`"

    def code(self, text: str | Foreign) -> str:
        return markdown_code(text)

    def verbatim(self, text: str) -> str:
        return f"```text\n{text.strip(chr(10))}\n```\n\n"

    def items(self, rows: Sequence[tuple[str, str]]) -> str:
        return "".join(f"- {name}: {said}\n" for name, said in rows) + "\n"

    def escape(self, text: str | Foreign) -> str:
        return markdown(text)

    def arrays(self, named: Sequence[tuple[str, Array]]) -> str:
        return f"```text\n{super().arrays(named).rstrip()}\n```\n\n"

    def equations(self, rows: Sequence[tuple[str, str]]) -> str:
        return "".join(f"- `{equation}` · {name}\n" for name, equation in rows) + "\n"

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()
    ) -> str:
        rule = ["---:" if each else "---" for each in right or [False] * len(head)]
        return _markdown_lines([head, rule, *rows]) + "\n"

    def values(
        self, heading: str, named: bool, units: Sequence[int], lines: Sequence[ValueLine]
    ) -> str:
        head, rows, right = _value_table(self, named, units, lines, str)
        rule = "".join("---:|" if each else "---|" for each in right)
        return f"**{heading}**\n\n{_markdown_lines([head])}|{rule}\n{_markdown_lines(rows)}\n"

    def page_break(self) -> str:
        return '<div style="page-break-after: always"></div>\n\n'


def _markdown_lines(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


_LATEX_HEAD = r"""\documentclass[11pt]{article}
\usepackage[utf8]{inputenc}
\usepackage{amsmath}
\setcounter{MaxMatrixCols}{64}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\setlength{\textwidth}{17cm}
\setlength{\oddsidemargin}{-0.5cm}
\setlength{\topmargin}{-2cm}
\setlength{\textheight}{25cm}
\begin{document}
\abovedisplayskip=4pt \belowdisplayskip=4pt
"""
# One character for one, so that a drawing keeps its columns (none has ±); the rest becomes `?`.
_ASCII = str.maketrans(
    dict.fromkeys("─═", "-") | dict.fromkeys("│┤├", "|") | dict.fromkeys("┌┐└┘┬┴┼╭╮╯╰", "+")
    | {"▶": ">", "◀": "<", "▲": "^", "▼": "v", "→": ">", "←": "<", "●": "o", "╱": "/", "╲": "\\",
       "×": "x", "⊙": "*", "·": "*", "−": "-", "…": "~", "σ": "s", "δ": "d", "₆": "6", "±": "+/-"}
)  # fmt: skip


def in_ascii(drawing: str) -> str:
    """Return a drawing in ASCII with its columns kept; C̃ becomes g, as in plain equations."""
    return drawing.replace("C\u0303", "g").translate(_ASCII).encode("ascii", "replace").decode()


# How many matrix columns fit side by side on the page.
COLUMNS_A_LINE = 17


class _LatexWriter(Writer):
    """A standalone LaTeX document that needs no package besides amsmath."""

    style = LATEX
    blank = r"\underline{\hspace{1.7cm}}"

    def begin(self, title: str) -> str:
        return _LATEX_HEAD + (f"\\section*{{{title}}}\n\n" if title else "")

    def end(self) -> str:
        return "\\end{document}\n"

    def heading(self, text: str, level: int = 2) -> str:
        return f"\\subsection*{{{text}}}\n\n" if level < 3 else f"\\textbf{{{text}}}\n"

    def paragraph(self, text: str) -> str:
        return f"{text}\n\n"

    def math(self, text: str) -> str:
        return f"${text}$"

    def code(self, text: str | Foreign) -> str:
        return f"\\texttt{{{self.escape(text)}}}"

    def verbatim(self, text: str) -> str:
        return f"\\begin{{verbatim}}\n{in_ascii(text.strip(chr(10)))}\n\\end{{verbatim}}\n\n"

    def items(self, rows: Sequence[tuple[str, str]]) -> str:
        lines = [f"\\item {name}\\\\ {said}\n" for name, said in rows]
        return "\\begin{itemize}\n" + "".join(lines) + "\\end{itemize}\n\n"

    def escape(self, text: str | Foreign) -> str:
        return latex(text)

    def arrays(self, named: Sequence[tuple[str, Array]]) -> str:
        lines: list[list[str]] = [[]]
        columns = 0
        for name, array in named:
            own = 2 + (array.shape[1] if array.ndim > 1 else 1)
            columns += own
            if columns > COLUMNS_A_LINE and lines[-1]:
                lines.append([])
                columns = own
            lines[-1].append(_bmatrix(name, array))
        return "".join("\\[ " + " \\qquad ".join(each) + " \\]\n\n" for each in lines)

    def equations(self, rows: Sequence[tuple[str, str]]) -> str:
        lines = [f"${equation}$ & {name} \\\\\n" for name, equation in rows]
        return "\\begin{tabular}{ll}\n" + "".join(lines) + "\\end{tabular}\n\n"

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()
    ) -> str:
        lines = [" & ".join(row) + r" \\[6pt]" for row in rows]
        places = "".join("r" if each else "l" for each in right or _numbers_right(head))
        return (
            f"\\begin{{tabular}}{{{places}}}\n" + " & ".join(head)
            + " \\\\ \\hline\n\\rule{0pt}{14pt}" + "\n".join(lines) + "\n\\end{tabular}\n\n"
        )  # fmt: skip

    def values(
        self, heading: str, named: bool, units: Sequence[int], lines: Sequence[ValueLine]
    ) -> str:
        head = [*(["name"] if named else []), "equation", *map(str, units)]
        places = "l" * (1 + named) + "r" * len(units)
        made = f"% {heading}\n\\begin{{tabular}}{{{places}}}\n\\hline\n"
        made += " & ".join(head) + r" \\ \hline" + "\n"
        for line in lines:
            label = [self.escape(line.label)] if named else []
            equation = " = ".join(each for each in (line.shown, line.equation) if each)
            numbers = [f"${latex_number(each)}$" if each else "" for each in line.numbers]
            made += " & ".join([*label, f"${equation}$", *numbers]) + r" \\" + "\n"
        return made + "\\hline\n\\end{tabular}\n\n"

    def definition(self, text: str) -> str:
        return f"% {text}\n"

    def page_break(self) -> str:
        return "\\newpage\n\n"


def _bmatrix(name: str, array: Array) -> str:
    """Return a matrix; a vector becomes a column."""
    rows = number_texts(array if array.ndim > 1 else array[:, None])
    body = r" \\ ".join(" & ".join(latex_number(n) for n in row) for row in rows)
    return f"{name} = \\begin{{bmatrix}} {body} \\end{{bmatrix}}"


_HTML_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }}
body {{ padding: 0 1rem }}
table {{ border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }}
th, td {{ padding: 2px 12px 2px 0; text-align: left; vertical-align: top }}
th {{ border-bottom: 1px solid gray }}
.right {{ text-align: right; font-variant-numeric: tabular-nums }}
dt {{ font-weight: 600 }}
</style>
"""


class _HtmlWriter(Writer):
    """A standalone page without scripts or external resources, for light and dark themes."""

    width = 98
    wraps_cells = True

    def begin(self, title: str) -> str:
        return _HTML_HEAD.format(title=title or "lstm-step") + f"<h1>{title}</h1>\n" * bool(title)

    def end(self) -> str:
        return "</html>\n"

    def heading(self, text: str, level: int = 2) -> str:
        return f"<h{level}>{text}</h{level}>\n"

    def paragraph(self, text: str) -> str:
        return f"<p>{text}</p>\n"

    def math(self, text: str) -> str:
        return self.code(text)

    def code(self, text: str | Foreign) -> str:
        return f"<code>{html(text)}</code>"

    def verbatim(self, text: str) -> str:
        lines = map(html, text.strip("\n").split("\n"))
        return "<pre>" + "\n".join(lines) + "</pre>\n"

    def items(self, rows: Sequence[tuple[str, str]]) -> str:
        return "<dl>\n" + "".join(f"<dt>{name}<dd>{said}\n" for name, said in rows) + "</dl>\n"

    def escape(self, text: str | Foreign) -> str:
        return html(text)

    def arrays(self, named: Sequence[tuple[str, Array]]) -> str:
        return self.verbatim("\n".join(_matrix_text(name, array) for name, array in named))

    def equations(self, rows: Sequence[tuple[str, str]]) -> str:
        return self.items([(self.code(equation), name) for name, equation in rows])

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()
    ) -> str:
        places = [' class="right"' * each for each in right or _numbers_right(head)]
        lines = [("th", head)] if any(head) else []
        made = "".join(
            "<tr>" + "".join(f"<{tag}{place}>{cell}</{tag}>"
                             for cell, place in zip(row, places, strict=True)) + "\n"
            for tag, row in [*lines, *(("td", row) for row in rows)]
        )  # fmt: skip
        return f"<table>\n{made}</table>\n"

    def values(
        self, heading: str, named: bool, units: Sequence[int], lines: Sequence[ValueLine]
    ) -> str:
        table = self.table(*_value_table(self, named, units, lines, html))
        return self.heading(html(heading)) + table

    def definition(self, text: str) -> str:
        return self.paragraph(html(text))

    def page_break(self) -> str:
        return '<hr style="break-after: page">\n'


WRITERS: dict[str, type[Writer]] = {
    "text": Writer,
    "markdown": _MarkdownWriter,
    "latex": _LatexWriter,
    "html": _HtmlWriter,
}
