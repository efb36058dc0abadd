"""Text around pasted numbers: wrappers, prompts, names, headers, quotes, other separators.

Everything is replaced by as many other characters, so that columns in errors stay correct.
"""

from __future__ import annotations

import re

# Numbers, separators and brackets alone need no work.
_PLAIN = re.compile(r"[0-9.,;eE+\-\s\[\]()]*")
_PROMPT = r"^[ ]*(?:>>>|In ?\[\d+\]:)"
_NEXT = r"^(?:\.\.\. |[ ]*\.\.\.:)"  # a prompt for the rest of a statement
_NAME = r"\s*(?:Out ?\[\d+\]:)?\s*(?:[^\W\d][\w.]*(?:\[[^\[\]\n]*\])?\s*(?::[^=\n]*)?=(?!=))?"
_LABEL = r"Parameter containing:|<NDArray (?!truncated)[^<>\n]*>"
_TENSORFLOW = r"<tf\.\w+[^<>]*?\bnumpy=([^<>]*)>"
_KEYWORD = r"""(?x)(?:,\s*)?\b(?:dtype|device|requires_grad|grad_fn|shape|weak_type|place
    |stop_gradient|order|copy|ndmin|name)\s*=\s*
    (?:<[^<>]*>|'[^']*'|"[^"]*"|[\w.]*\([^()]*\)|\[[^\[\]]*\]|[\w.]+)\s*,?"""
_WHOLE = r"\bdtype\s*=.*\b(?:u?int\d*|long|bool)\b"
# Calls that return the numbers they are given.
_CALL = r"""(?x)(?<![\w.])(?:[A-Za-z_]\w*\.)*(?:array|asarray|ndarray|matrix|[Tt]ensor|as_tensor
    |Array|DeviceArray|Parameter|Variable|constant|float(?:16|32|64)?|u?int(?:8|16|32|64)?
    |FloatTensor|DoubleTensor|list|tuple)\s*\("""
_QUOTED = r"""(["'])([^"',;\n]*)\1"""
_MISSING = ("nan", "na", "n/a", "null", "none", "inf", "infinity", "missing")
# A number in a table whose cells are separated by semicolons or tabs; it may be blank.
_CELL = r'[ "]*(?:[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?)?[ "]*'


def bare(text: str) -> str:
    """Blank out what Python and its libraries print or type around the numbers of an array."""
    text = text.replace("\u2212", "-")  # the minus that we print ourselves
    if _PLAIN.fullmatch(text):
        return text
    text = _without_prompts(text)
    text = re.sub(_NAME, _blank, text, count=1)
    text = re.sub(_LABEL, _blank, text)
    text = re.sub(_TENSORFLOW, _keep, text)
    fractions = re.search(r"\.[0-9]*[1-9]", text)

    def blank_keyword(match: re.Match[str]) -> str:
        """Keep, to be refused, a type that would cut the fractions off."""
        return match[0] if fractions and re.search(_WHOLE, match[0]) else _blank(match)

    text = re.sub(_KEYWORD, blank_keyword, text)
    return re.sub(_QUOTED, r" \2 ", _without_calls(text))


def one_sample(text: str) -> str:
    """Blank out the outermost of three brackets if they hold a single sample: `[[[1, 2]]]`."""
    if re.match(r"\s*\[\s*\[\s*\[", text) and len(re.findall(r"\]\s*\]", text)) == 1:
        start, end = text.index("["), text.rindex("]")
        return f"{text[:start]} {text[start + 1 : end]} {text[end + 1 :]}"
    return text


def without_header(text: str) -> tuple[str, list[str]]:
    """Blank out a first line that only names columns; also return the names."""
    first = re.match(r"\s*(\S[^\n]*)\n\s*[\"']?[+-]?\.?[0-9]", text)
    names = _column_names(first[1]) if first else []
    if first and names:
        text = _blank(text[: first.end(1)]) + text[first.end(1) :]
    return text, names


def counting_row(text: str) -> str:
    """Return the first line if it is 0, 1, 2, … above decimals, as pandas numbers columns."""
    first, _, others = text.lstrip().partition("\n")
    words = re.findall(r"[^\s,;]+", first)
    counts = len(words) > 2 and words == [str(number) for number in range(len(words))]
    return first.strip() if counts and "." in others else ""


def _column_names(line: str) -> list[str]:
    """Return the names in a line of them, or none if it has anything else."""
    words = re.split(r"[,;\t]" if re.search(r"[,;\t]", line) else r"\s+", line.strip())
    names = [word.strip(" \"'") for word in words]
    all_names = any(names) and _is_balanced(line) and all(
        not name or (name[0].isalpha() and name.lower() not in _MISSING) for name in names
    )  # fmt: skip
    return names if all_names else []


def with_points(text: str, *, tabs_only: bool = False, table: bool = False) -> tuple[str, str]:
    """Rewrite cells separated by semicolons or tabs with commas between and decimal points.

    Args:
        text: a table; any other text is returned as it is.
        tabs_only: semicolons separate rows, as in typed text.
        table: a single line with decimal commas is a row, too.

    Returns:
        the text, and what had to be understood; "" if nothing had.
    """
    between = "\t" if tabs_only or ("\t" in text and ";" not in text) else ";"
    decimal = "," in text
    if between not in text or (decimal and "." in text) or (between == "\t" and not decimal):
        return text, ""
    lines = [line.rstrip(" ;\t") for line in text.splitlines() if line.strip()]
    rows = len(lines) > 1 or between == "\t" or (table and decimal)
    cells = re.compile(f"{_CELL}(?:{between}{_CELL})*")
    if not rows or between not in lines[0] or not all(map(cells.fullmatch, lines)):
        return text, ""
    told = "cells are separated by " + ("tabs" if between == "\t" else "semicolons")
    told += ", and commas are decimal" if decimal else ""
    text = re.sub(r"[;\t](?=[ ]*$)", " ", text, flags=re.MULTILINE)
    return text.translate(str.maketrans(f',{between}"', "., ")), told


def first_pair(text: str) -> str:
    """Return the first row if each is like `0,5`: two integers, or one decimal; else ""."""
    pair = "[+-]?[0-9]+,[+-]?[0-9]+"
    rows = re.fullmatch(rf"\s*({pair})[ \t]*(?:[;\n][ \t]*{pair}[ \t]*)+[;\s]*", text)
    return rows[1] if rows else ""


def _without_prompts(text: str) -> str:
    """Blank out prompts, and statements at them that only ask for what follows."""
    if not re.search(_PROMPT, text, re.MULTILINE):
        return text
    lines = text.rstrip().split("\n")
    while lines and re.fullmatch(_PROMPT + r"\s*", lines[-1]):
        lines.pop()
    for number, line in enumerate(lines):
        if re.match(_NEXT, line):
            lines[number] = re.sub(_NEXT, _blank, line)
        elif re.match(_PROMPT, line):
            last = number + 1 == len(lines)
            asks = not last and _is_balanced(line) and not re.match(_NEXT, lines[number + 1])
            lines[number] = _blank(line) if asks else re.sub(_PROMPT, _blank, line)
    return "\n".join(lines)


def _is_balanced(line: str) -> bool:
    return line.count("(") + line.count("[") == line.count(")") + line.count("]")


def _without_calls(text: str) -> str:
    """Blank out calls such as `np.array( … )`, but not their arguments."""
    calls = {match.end() - 1: match.start() for match in re.finditer(_CALL, text)}
    pieces, opened = list(text), []
    for match in re.finditer(r"[()]", text) if calls else ():
        if match[0] == "(":
            opened.append(match.start())
        elif opened and (start := opened.pop()) in calls:
            pieces[calls[start] : start + 1] = _blank(text[calls[start] : start + 1])
            pieces[match.start()] = " "
    return "".join(pieces)


def _blank(text: str | re.Match[str]) -> str:
    """Return blanks in place of a text or match; line ends are kept."""
    return re.sub(r"[^\n]", " ", text if isinstance(text, str) else text[0])


def _keep(match: re.Match[str]) -> str:
    start, end = (place - match.start() for place in match.span(1))
    return _blank(match[0][:start]) + match[1] + _blank(match[0][end:])
