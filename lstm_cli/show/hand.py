"""Writing of scalar trees in any style, as a person would write them on paper."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_cli.base.numbers import decimals, latex_number, shortest, typeset
from lstm_cli.cell.notation import LATEX, PLAIN, Style, function_name
from lstm_cli.show.scalars import Applied, Dot, Known, Scalar, Textbook

_SUM, _NEGATIVE, _PRODUCT, _ATOM = 1, 2, 3, 4
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, eq=False)
class Hand:
    """Writes scalar trees; with `names`, every named number by its name."""

    style: Style
    digits: int
    names: bool = False

    def text(self, scalar: Scalar) -> str:
        """Return the text of a tree."""
        return self._write(scalar)[0]

    def number(self, value: float) -> tuple[str, int]:
        """Return a number's text and its precedence: −1 binds loosely, 2·10⁻⁵ like a product."""
        text = shortest(value) if self.names else decimals(value, self.digits)
        mantissa, _, power = text.partition("e")
        level = _NEGATIVE if text.startswith("-") else _PRODUCT if power else _ATOM
        if self.style is PLAIN:
            return text, level if level == _NEGATIVE else _ATOM
        if self.style is LATEX:
            return latex_number(text), level
        raised = f"·10{str(int(power)).translate(_RAISED)}" if power else ""
        return typeset(mantissa) + raised, level

    def _write(self, scalar: Scalar) -> tuple[str, int]:
        match scalar:
            case Known(value, shown):
                return (shown, _ATOM) if self.names and shown else self.number(value)
            case Textbook(tree):
                return self._write(tree)
            case Dot(shown=shown):
                return (shown, _PRODUCT) if self.names else self._dot(scalar)
            case Applied("+" | "-" as sign, (left, right)):
                return self._side(left, _SUM) + self._added(sign, right), _SUM
            case Applied("*", (left, right)):
                return self.style.scale.join(
                    (self._factor(left), self._side(right, _ATOM))
                ), _PRODUCT
            case Applied("/", (left, right)):
                return self._quotient(left, right)
            case Applied("neg", (Known(value),)) if value < 0 and not self.names:
                return self.number(-value)
            case Applied("neg", (operand,)):
                return self.style.operators["neg"] + self._side(operand, _ATOM), _NEGATIVE
            case Applied("exp", (operand,)) if self.style is not PLAIN:
                pair = "{}" if self.style is LATEX else "()"
                return f"e^{pair[0]}{self.text(operand)}{pair[1]}", _ATOM
            case Applied(function, arguments):
                inner = ", ".join(map(self.text, arguments))
                return f"{function_name(function, self.style)}({inner})", _ATOM

    def _side(self, scalar: Scalar, level: int) -> str:
        text, own = self._write(scalar)
        return text if own >= level else f"({text})"

    def _factor(self, scalar: Scalar) -> str:
        """Return a left factor: −1 and 2·10⁻⁵ are put in parentheses."""
        return self._side(scalar, _ATOM if isinstance(scalar, Known) else _PRODUCT)

    def _quotient(self, left: Scalar, right: Scalar) -> tuple[str, int]:
        if self.style is LATEX:
            return rf"\frac{{{self.text(left)}}}{{{self.text(right)}}}", _ATOM
        sign = self.style.operators["/"]
        return self._factor(left) + sign + self._side(right, _ATOM), _PRODUCT

    def _added(self, sign: str, scalar: Scalar) -> str:
        """Return a summand with its sign; adding a negative number becomes a subtraction."""
        text, level = self._write(scalar)
        minus = self.style.operators["neg"]
        if sign == "+" and text.startswith(minus) and isinstance(scalar, Known | Dot):
            return self.style.operators["-"] + text.removeprefix(minus)
        bare = (level == _SUM and sign == "+") or level >= _PRODUCT
        return self.style.operators[sign] + (text if bare else f"({text})")

    def _dot(self, dot: Dot) -> tuple[str, int]:
        sides = []
        if dot.terms:
            first, *others = dot.terms
            sides.append(self._side(first, _SUM) + "".join(self._added("+", e) for e in others))
        if dot.zeros:
            sides.append(f"0{self.style.scale}({self._words(f'{dot.zeros} numbers')})")
        if dot.idle:
            sides.append(f"({self._words(f'{dot.idle} weights')}){self.style.scale}0")
        if dot.more:
            sides.append(self._more(dot))
        level = _PRODUCT if len(sides) == 1 and len(dot.terms) < 2 else _SUM
        return self.style.operators["+"].join(sides), level

    def _words(self, text: str) -> str:
        return rf"\text{{{text}}}" if self.style is LATEX else text

    def _more(self, dot: Dot) -> str:
        rest = self.number(dot.rest)[0]
        what = f"{dot.more} more term{'s' * (dot.more > 1)}"
        if self.style is LATEX:
            # In braces, or TeX would set the operator after it as a sign.
            return rf"{{\underbrace{{{rest}}}_{{{self._words(what)}}}}}"
        return f"({what}: {rest})"
