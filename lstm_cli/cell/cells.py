"""LSTM cells as tables of equations, and every variant as an edit of one table.

x (…, I), h_prev (…, P), c_prev (…, H)  ->  h (…, P), c (…, H); P = H without a projection.

The LSTM: Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997. Its
forget gate: Gers, Schmidhuber & Cummins, "Learning to Forget", Neural Computation 12(10), 2000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial, reduce

from lstm_cli.base.errors import CellError, UsageError, caret, safe, suggest
from lstm_cli.base.records import record, value_record
from lstm_cli.cell.equations import (
    FUNCTIONS,
    Apply,
    Equation,
    Name,
    Node,
    Number,
    functions_in,
    is_activation,
    names_in,
    parse,
    rebuild,
    substitute,
)
from lstm_cli.cell.notation import is_parameter, write
from lstm_cli.cell.shapes import INPUTS, Shape, infer_shapes

LSTM_TABLE = """
z_f = W_f @ [h_prev, x] + b_f    # forget gate, pre-activation
z_i = W_i @ [h_prev, x] + b_i    # input gate, pre-activation
z_g = W_g @ [h_prev, x] + b_g    # candidate, pre-activation
z_o = W_o @ [h_prev, x] + b_o    # output gate, pre-activation
f = sigmoid(z_f)                 # forget gate
i = sigmoid(z_i)                 # input gate
g = tanh(z_g)                    # candidate cell state
o = sigmoid(z_o)                 # output gate
c = f * c_prev + i * g           # cell state
h = o * tanh(c)                  # hidden state
"""


@record
class Cell:
    """A checked table of equations: names are defined before use, and `c` and `h` are present.

    Attributes:
        name: the name to give to `--cell`.
        equations: the rows, in evaluation order.
        sources: the papers or framework files it follows.
    """

    name: str
    title: str
    equations: tuple[Equation, ...]
    sources: tuple[str, ...] = ()

    def __getitem__(self, symbol: str) -> Equation:
        for equation in self.equations:
            if equation.symbol == symbol:
                return equation
        raise KeyError(symbol)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of the rows, in order."""
        return tuple(equation.symbol for equation in self.equations)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Symbolic shapes of the parameters and of `x`, `h`, `c` (see `dimensions`)."""
        return infer_shapes(self.equations)

    @property
    def parameters(self) -> dict[str, Shape]:
        """Mapping of parameter to symbolic shape, in order of first use."""
        return {name: dims for name, dims in self.shapes.items() if is_parameter(name)}

    @property
    def functions(self) -> list[str]:
        """Named functions used by the rows, without duplicates."""
        used = [name for row in self.equations for name in functions_in(row.expression)]
        return list(dict.fromkeys(used))

    def edit(
        self,
        rows: Mapping[str, str | Node],
        *,
        name: str,
        title: str,
        source: str = "",
        keep_all: bool = False,
    ) -> Cell:
        """Return a cell with some rows replaced; `old` in an edit stands for the replaced row.

        Rows that `c` and `h` no longer depend on are dropped unless `keep_all`, and a row that now
        depends on a later one moves after it (a peephole's `z_o` follows `c`).

        Raises:
            CellError: a row to edit does not exist, or the rows form a cycle.
        """
        table: dict[str, Equation] = {row.symbol: row for row in self.equations}
        for symbol, text in rows.items():
            if symbol not in table:
                raise CellError(
                    f"{self.name} has no row '{symbol}' to edit for {name}",
                    hint=suggest(symbol, table),
                )
            old = table[symbol]
            new = parse(text, f"{name}, row {symbol}") if isinstance(text, str) else text
            expression = substitute(new, {"old": old.expression})
            table[symbol] = Equation(symbol, expression, old.label)
        sources = (*self.sources, source) if source else self.sources
        kept = table if keep_all else _reachable(table)
        return Cell(name, title, _in_order(kept, name), sources)


def _reachable(table: Mapping[str, Equation]) -> dict[str, Equation]:
    """Return the rows that `c` and `h` depend on, in table order."""
    needed, queue = set[str](), ["c", "h"]
    while queue:
        symbol = queue.pop()
        if symbol in table and symbol not in needed:
            needed.add(symbol)
            queue += names_in(table[symbol].expression)
    return {symbol: row for symbol, row in table.items() if symbol in needed}


def _in_order(table: Mapping[str, Equation], name: str) -> tuple[Equation, ...]:
    """Sort the rows so that each follows those it depends on, keeping the given order otherwise."""
    waiting, done = list(table.values()), list[Equation]()
    uses = {row.symbol: set(names_in(row.expression)) for row in waiting}
    while waiting:
        left = {row.symbol for row in waiting}
        ready = next((row for row in waiting if not uses[row.symbol] & left), None)
        if ready is None:
            raise CellError(
                f"rows {', '.join(row.symbol for row in waiting)} depend on each other in a cycle",
                where=name,
                hint="a row may use the previous step through h_prev and c_prev",
            )
        waiting.remove(ready)
        done.append(ready)
    return tuple(done)


# An LSTM has ten rows, its gradient table about forty.
MAX_ROWS = 300

_ROW = re.compile(r"(?P<lead>\s*(?P<symbol>[A-Za-z]\w*)\s*=)(?P<text>[^#]*)(#\s*(?P<label>.*))?")


def parse_table(text: str, place: str = "", first_line: int = 1) -> tuple[Equation, ...]:
    """Parse a table written as one `symbol = expression  # label` per line.

    Args:
        text: the table; blank lines and comment lines are skipped.
        first_line: line number of the text's first line in that file.

    Raises:
        CellError: text outside the grammar, a name used before it is defined, a symbol defined
            twice, or one that names an input or a parameter; the error has the row and column.
    """
    rows: list[Equation] = []
    for number, line in enumerate(text.splitlines(), first_line):
        if line.strip() and not line.strip().startswith("#"):
            where = f"{place}, row {number}" if place else f"row {number}"
            if len(rows) == MAX_ROWS:
                raise CellError(f"more than {MAX_ROWS} rows", where=where, hint="use fewer rows")
            rows.append(_parse_row(line, where, rows))
    for state in ("c", "h"):
        if state not in {row.symbol for row in rows}:
            raise CellError(
                f"the table has no row for '{state}'",
                where=place,
                hint="a cell must define c (cell state) and h (hidden state)",
            )
    return tuple(rows)


def _parse_row(line: str, where: str, above: Iterable[Equation]) -> Equation:
    match = _ROW.fullmatch(line)
    if match is None:
        raise CellError(
            "not a row of a cell table",
            where=f"{where}, column 1\n{caret(line, len(line) - len(line.lstrip()))}",
            hint="write: symbol = expression  # label",
        )
    symbol, lead = match["symbol"], len(match["lead"])
    known = {row.symbol for row in above}
    if symbol in known or symbol in INPUTS or is_parameter(symbol):
        reason = "is defined twice" if symbol in known else "names an input or a parameter"
        raise CellError(
            f"'{symbol}' {reason}",
            where=f"{where}, column {match.start('symbol') + 1}\n"
            f"{caret(line, match.start('symbol'), len(symbol))}",
            hint="each name is defined once; W_…, U_…, b_… and p_… are parameters",
        )
    # Spaces in place of `symbol =` make the columns in errors match those of the line.
    expression = parse(" " * lead + match["text"], where)
    for name in names_in(expression):
        if name not in known and name not in INPUTS and not is_parameter(name):
            start = next(m.start() for m in re.finditer(rf"\b{name}\b", line) if m.start() >= lead)
            raise CellError(
                f"'{name}' is used before it is defined",
                where=f"{where}, column {start + 1}\n{caret(line, start, len(name))}",
                hint=f"define {name} in a row above; inputs are x, h_prev, c_prev; parameters "
                "are W_…, U_…, b_…, p_…",
            )
    return Equation(symbol, expression, safe((match["label"] or "").strip()))


LSTM = Cell(
    "lstm",
    "the LSTM with a forget gate, as every framework computes it",
    parse_table(LSTM_TABLE),
    (
        "Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
        "Gers, Schmidhuber & Cummins 2000 (forget gate), doi 10.1162/089976600300015015",
    ),
)

GATES = ("f", "i", "o")


def cell_named(name: str) -> Cell:
    """Return a cell by name; variants combine with `+`, as in `peephole+projection`.

    Raises:
        UsageError: an unknown name; the hint suggests the closest one.
    """
    parts = [part for part in name.split("+") if part != "lstm"]
    for part in parts:
        if part not in VARIANTS:
            raise UsageError(
                f"unknown cell '{part}'",
                hint=suggest(part, ["lstm", *VARIANTS]) + " (or a table of your own: FILE.toml)",
            )
    clash = [part for part in parts if parts.count(part) > 1]
    if {"coupled-forget", "coupled-input"} <= set(parts):
        clash = ["coupled-forget", "coupled-input"]
    if clash:
        raise UsageError(
            f"cell '{name}' combines {' and '.join(dict.fromkeys(clash))}",
            hint="name each variant once, and one kind of coupling",
        )
    cell = reduce(lambda made, part: VARIANTS[part](made), parts, LSTM)
    return Cell("+".join(parts) or "lstm", cell.title, cell.equations, cell.sources)


def with_activations(
    cell: Cell,
    *,
    gate: str = "",
    candidate: str = "",
    output: str = "",
    title: str = "",
) -> Cell:
    """Return the cell with other activations, each given as `name` or `name(alpha, beta)`.

    Args:
        gate: replaces the gates' sigmoid; "" leaves it unchanged.
        candidate: replaces the tanh of g.
        output: replaces the tanh between c and h.
        title: title of the new cell; by default the old one.

    Raises:
        UsageError: an unknown activation, or one that the cell has no place for.
    """
    rows: dict[str, str | Node] = {}
    for part, text in (("gate", gate), ("candidate", candidate), ("output", output)):
        if text:
            rows |= _with_activation(cell, part, parse_activation(text))
    return cell.edit(rows, name=cell.name, title=title or cell.title)


def _with_rows(rows: Mapping[str, str], title: str, source: str, cell: Cell) -> Cell:
    """Return the cell with those of the rows replaced that it has."""
    own = {symbol: text for symbol, text in rows.items() if symbol in cell.symbols}
    return cell.edit(own, name=cell.name, title=title, source=source)


# Edits of the LSTM by name, which combine.
VARIANTS: Mapping[str, Callable[[Cell], Cell]] = {
    "peephole": partial(
        _with_rows,
        {"z_f": "old + p_f * c_prev", "z_i": "old + p_i * c_prev", "z_o": "old + p_o * c"},
        "the gates also see the cell state, through one weight per unit",
        "Gers, Schraudolph & Schmidhuber 2002, JMLR 3:115-143",
    ),
    "coupled-forget": partial(
        _with_rows,
        {"f": "1 - i"},
        "no separate forget gate: f = 1 - i (ONNX input_forget, Core ML)",
        "Greff et al. 2017 (CIFG), doi 10.1109/TNNLS.2016.2582924",
    ),
    "coupled-input": partial(
        _with_rows,
        {"i": "1 - f"},
        "no separate input gate: i = 1 - f (TensorFlow Lite's CIFG)",
        "TensorFlow Lite, kernels/lstm_eval.cc",
    ),
    "projection": partial(
        _with_rows,
        {"h": "W_hr @ old"},
        "the hidden state is projected from H to P numbers",
        "Sak, Senior & Beaufays 2014, arXiv 1402.1128",
    ),
    "hard-sigmoid": partial(
        with_activations,
        gate="hard_sigmoid",
        title="gates are 0.2 z + 0.5, clipped to 0 … 1 (Keras 1 and 2.0-2.2, ONNX HardSigmoid)",
    ),
    "hard-sigmoid-6": partial(
        with_activations,
        gate="hard_sigmoid_6",
        title="gates are z / 6 + 0.5, clipped to 0 … 1 (Keras 3, PyTorch hardsigmoid)",
    ),
}


def parse_activation(text: str) -> Apply:
    """Parse an activation such as `tanh` or `hard_sigmoid(0.2, 0.5)`, applied to `z`.

    Raises:
        UsageError: not a known activation.
        CellError: a constant that is not a number, or too many of them.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    if match is None or not is_activation(match[1]):
        known = [name for name in FUNCTIONS if is_activation(name)]
        raise UsageError(f"unknown activation '{text}'", hint=suggest(text, known))
    constants = f", {match[2]}" if (match[2] or "").strip() else ""
    node = parse(f"{match[1]}(z{constants})", f"activation {text}")
    assert isinstance(node, Apply)
    return node


# Where an activation stands, and the letters of rows whose part in c and h is not plain.
_PARTS = {
    "gate": ("on a gate", GATES, ("keep", "write", "show")),
    "candidate": ("on the candidate", ("g",), ("propose",)),
    "output": ("between c and h", (), ()),
}


def _with_activation(cell: Cell, part: str, activation: Apply) -> dict[str, Node]:
    """Return the rows that have an activation of that part, with another in its place."""
    # A plain run has no need of it.
    from lstm_cli.cell.roles import is_layer, pre_activations, roles_of

    words, letters, deeds = _PARTS[part]
    roles, layers = roles_of(cell), pre_activations(cell)
    rows: dict[str, Node] = {}

    def replaced(node: Node) -> Node:
        if not isinstance(node, Apply) or not is_activation(node.function):
            return node
        read = set(names_in(node.arguments[0]))
        of_c = "c" in read and not is_layer(node.arguments[0]) and not layers & read
        if not (of_c if part == "output" else own):
            return node
        found.append(node)
        return Apply(activation.function, (node.arguments[0], *activation.arguments[1:]))

    for row in cell.equations:
        role, found = roles.get(row.symbol), list[Node]()
        own = role.deed in deeds if role else row.symbol in letters
        made = rebuild(row.expression, replaced)
        if found:
            rows[row.symbol] = made
    if not rows:
        raise UsageError(
            f"cell {safe(cell.name)} has no activation {words}",
            where="--activations",
            hint="leave that part empty: --activations 'hard_sigmoid,tanh,' names no third",
        )
    return rows


def with_forget_bias(cell: Cell, bias: float) -> Cell:
    """Return the cell with a constant added to the forget gate's pre-activation at run time.

    TF1, Haiku and DyNet add 1 this way. No weight file stores the number, so it is a visible term
    of its own.

    Raises:
        CellError: the cell has no forget gate of its own, or z_f makes what writes or shows, as in
            `i * c_prev + f * g`.
    """
    from lstm_cli.cell.roles import roles_of  # a plain run has no need of it

    roles = roles_of(cell)
    if "f" in roles and roles["f"].deed != "keep":
        keepers = [k for k, each in roles.items() if each.deed == "keep"]
        kept = f", {keepers[0]} is" if keepers else ""
        raise CellError(
            f"f of cell {safe(cell.name)} is no forget gate: it is no share of c_prev{kept}",
            where="--forget-bias",
            hint="leave --forget-bias out, and write the number into the table",
        )
    if "z_f" not in cell.symbols:
        raise CellError(
            f"cell {cell.name} has no separate forget gate to add a bias to",
            where="--forget-bias",
            hint="leave out --forget-bias, or use coupled-input, which has its own f",
        )
    rest: Node = Name("old")
    # The new constant is merged with an existing one; a sum of 0 leaves no term.
    match cell["z_f"].expression:
        case Apply("+" | "-" as sign, (Apply() as inner, Number(value))):
            rest, bias = inner, bias + (value if sign == "+" else -value)
    term = Apply("+" if bias > 0 else "-", (rest, Number(abs(float(bias))))) if bias else rest
    return cell.edit({"z_f": term}, name=cell.name, title=cell.title)


def with_clip(cell: Cell, limit: float) -> Cell:
    """Return the cell with every pre-activation cut to ±limit before its activation (ONNX).

    Raises:
        UsageError: the cell has no pre-activation.
    """
    from lstm_cli.cell.roles import is_layer, pre_activations  # a plain run has no need of it

    layers = pre_activations(cell)
    cut = {symbol: _clip(Name(symbol), limit) for symbol in layers}

    def change(node: Node) -> Node:
        if isinstance(node, Apply) and is_activation(node.function) and is_layer(node.arguments[0]):
            return Apply(node.function, (_clip(node.arguments[0], limit), *node.arguments[1:]))
        return node

    changed = {
        row.symbol: rebuild(substitute(row.expression, cut), change)
        for row in cell.equations
        if row.symbol not in layers
    }
    rows = {symbol: made for symbol, made in changed.items() if made != cell[symbol].expression}
    if not rows:
        raise UsageError(
            f"cell {safe(cell.name)} has no pre-activation to clip", where="--clip",
            hint="leave --clip out, or write clip(…, -1, 1) into the table",
        )  # fmt: skip
    return cell.edit(rows, name=cell.name, title=cell.title)


def with_cell_clip(cell: Cell, limit: float) -> Cell:
    """Return the cell with its new cell state clipped to ±limit (TensorFlow, TensorFlow Lite)."""
    return cell.edit({"c": _clip(Name("old"), limit)}, name=cell.name, title=cell.title)


@value_record
class Settings:
    """Adjustments of a cell, from command-line options or from the keys of a sample.

    Attributes:
        forget_bias: see `with_forget_bias`; None adds nothing.
        clip, cell_clip: see `with_clip` and `with_cell_clip`; None clips nothing.
        activations: "gate,candidate,output" as in `with_activations`; "" leaves them unchanged.
    """

    forget_bias: float | None = None
    clip: float | None = None
    cell_clip: float | None = None
    activations: str = ""

    def over(self, others: Settings) -> Settings:
        """Return these settings, and what they leave out from others."""
        return Settings(
            others.forget_bias if self.forget_bias is None else self.forget_bias,
            others.clip if self.clip is None else self.clip,
            others.cell_clip if self.cell_clip is None else self.cell_clip,
            self.activations or others.activations,
        )

    def edit(self, cell: Cell) -> Cell:
        """Return a cell with the settings applied.

        Raises:
            UsageError: an unknown activation, a number that is not finite, or a limit that is
                not positive.
        """
        if self.activations:
            gate, candidate, output = _three(self.activations)
            cell = with_activations(cell, gate=gate, candidate=candidate, output=output)
        if self.forget_bias is not None:
            cell = with_forget_bias(cell, _finite("--forget-bias", self.forget_bias))
        if self.clip is not None:
            cell = with_clip(cell, _positive("--clip", self.clip))
        if self.cell_clip is not None:
            cell = with_cell_clip(cell, _positive("--cell-clip", self.cell_clip))
        return cell


def _three(text: str) -> list[str]:
    parts = [part.strip() for part in re.split(r",(?![^()]*\))", text)]
    if len(parts) != 3:
        raise UsageError(
            f"--activations has {len(parts)} parts, needs 3: gate, candidate, output",
            where="--activations",
            hint="--activations 'hard_sigmoid(0.2,0.5),tanh,tanh'",
        )
    return parts


def _finite(option: str, value: float) -> float:
    if value - value != 0:
        raise UsageError(f"{option} is {value}", where=option, hint="give a finite number")
    return value


def _positive(option: str, value: float) -> float:
    if not _finite(option, value) > 0:
        raise UsageError(f"{option} is {value}", where=option, hint="a limit must be positive")
    return value


def _clip(node: Node, limit: float) -> Node:
    return Apply("clip", (node, Number(-float(limit)), Number(float(limit))))


def describe_edit(cell: Cell, base: Cell = LSTM) -> list[str]:
    """Describe the rows in which a cell differs from `base`, as plain text."""
    before = {row.symbol: write(row.expression) for row in base.equations}
    rows = [(row.symbol, write(row.expression)) for row in cell.equations]
    gone = [f"no {symbol}" for symbol in before if symbol not in cell.symbols]
    return [f"{symbol} = {text}" for symbol, text in rows if before.get(symbol) != text] + gone
