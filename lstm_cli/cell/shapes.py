"""Shape inference: the sizes that a table of equations requires, derived from the table itself.

`x` is `(…, I)`, `h_prev` and `h` are `(…, P)`, `c_prev` and `c` are `(…, H)`. Operands of an
elementwise operation have the same size, and `W @ v` has as many rows as W; every parameter's
shape follows from that. A table with `h = o * tanh(c)` makes P equal H; one with a projection
leaves P free. Nothing here depends on the name of a cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lstm_cli.base.arrays import Array
from lstm_cli.base.errors import CellError, InputError, ShapeError
from lstm_cli.cell.equations import Apply, Equation, Name, Node, Number
from lstm_cli.cell.notation import is_matrix, is_parameter, write

# A size is a sum of atoms: ("H",), or ("P", "I") for the joined [h_prev, x].
Size = tuple[str, ...]
Shape = tuple[Size, ...]

INPUTS: Mapping[str, Size] = {"x": ("I",), "h_prev": ("P",), "c_prev": ("H",)}
# A row concatenated with itself thirty times over would exhaust memory.
MAX_ATOMS = 256

# Order of preference for naming a class of equal sizes: H first, so that P = H prints as H.
_ORDER = {"H": 0, "P": 1, "I": 2}


@dataclass
class _Inference:
    """Union-find over the atoms of one table."""

    parent: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=lambda: dict(INPUTS))
    shapes: dict[str, Shape] = field(default_factory=dict)

    def find(self, atom: str) -> str:
        while self.parent.get(atom, atom) != atom:
            atom = self.parent[atom]
        return atom

    def canonical(self, size: Size) -> Size:
        return tuple(self.find(atom) for atom in size)

    def unify(self, one: Size | None, other: Size | None, node: Node) -> Size | None:
        """Make two sizes equal; None stands for a plain number, which fits any size."""
        if one is None or other is None:
            return one or other
        one, other = self.canonical(one), self.canonical(other)
        if len(one) != len(other):
            raise CellError(
                f"sizes {' + '.join(one)} and {' + '.join(other)} do not match in {write(node)}",
                hint="elementwise operations need both sides to have the same size",
            )
        for left, right in zip(one, other, strict=True):
            keep, drop = sorted((left, right), key=lambda atom: (_ORDER.get(atom, 9), atom))
            self.parent[drop] = keep
        return self.canonical(one)

    def size_of(self, node: Node) -> Size | None:
        match node:
            case Number():
                return None
            case Name(name):
                return self._size_of_name(name)
            case Apply("@", (Name(matrix), vector)) if is_matrix(matrix):
                return self._size_of_product(matrix, vector)
            case Apply("@", _):
                raise CellError(
                    f"the left side of @ must be a matrix parameter in {write(node)}",
                    hint="names of matrices start with a capital: W_f, U_f, W_hr",
                )
            case Apply("concat", arguments):
                parts = [self.size_of(each) for each in arguments]
                if sum(len(part or ()) for part in parts) > MAX_ATOMS:
                    raise CellError(
                        f"more than {MAX_ATOMS} vectors are concatenated",
                        hint="concatenating a concatenation doubles the size with every row",
                    )
                return tuple(atom for part in parts for atom in part or ())
            case Apply(_, arguments):
                size = self.size_of(arguments[0])
                for each in arguments[1:]:
                    size = self.unify(size, self.size_of(each), node)
                return size

    def _size_of_name(self, name: str) -> Size:
        if is_matrix(name):
            raise CellError(
                f"{name} is a matrix and can only be used to the left of @",
                hint=f"write {name} @ x, or call a vector parameter b_… or p_…",
            )
        if is_parameter(name) and name not in self.sizes:
            self.sizes[name] = (f"size of {name}",)
            self.shapes[name] = (self.sizes[name],)
        return self.sizes[name]

    def _size_of_product(self, matrix: str, vector: Node) -> Size:
        columns = self.size_of(vector)
        if columns is None:
            raise CellError(f"{matrix} multiplies a plain number", hint="use * for numbers")
        rows, known = self.shapes.get(matrix, ((f"rows of {matrix}",), columns))
        self.unify(known, columns, Apply("@", (Name(matrix), vector)))
        self.shapes[matrix] = (rows, columns)
        return rows


def infer_shapes(equations: Iterable[Equation]) -> dict[str, Shape]:
    """Map the parameters to symbolic shapes, and `x`, `h`, `c` to their canonical sizes.

    Raises:
        CellError: two sizes that cannot be equal meet, or a matrix is used as a vector.
    """
    inference = _Inference()
    for equation in equations:
        size = inference.size_of(equation.expression)
        if size is None:
            number = write(equation.expression)
            raise CellError(
                f"{equation.symbol} is a plain number, not a vector",
                hint=f"give it a size: {equation.symbol} = {number} + 0 * c_prev",
            )
        state = {"h": ("P",), "c": ("H",)}.get(equation.symbol)
        inference.unify(size, state, equation.expression)
        inference.sizes[equation.symbol] = size
    named = {name: tuple(map(inference.canonical, dims)) for name, dims in inference.shapes.items()}
    for name, size in {"x": ("I",), "h": ("P",), "c": ("H",)}.items():
        named[name] = (inference.canonical(size),)
    return named


def describe(shape: Shape) -> str:
    """Format a symbolic shape as text: `(H, P + I)`."""
    inner = ", ".join(" + ".join(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def solve_sizes(
    shapes: Mapping[str, Shape], arrays: Mapping[str, Array], place: str
) -> dict[str, int]:
    """Solve for the value of each atom, given arrays that must fit their symbolic shapes.

    Raises:
        ShapeError: a parameter's shape disagrees with the others; the message has both sides.
        InputError: the parameters do not determine every size.
    """
    solver = _Solver({}, {}, place)
    for name in arrays:
        if len(shapes[name]) != arrays[name].ndim:
            raise solver.error(name, shapes[name], arrays[name].shape, "")
    # Vectors first: if a matrix is transposed, the biases still give the right H.
    equations = [
        (name, size, actual)
        for name, array in sorted(arrays.items(), key=lambda each: each[1].ndim)
        for size, actual in zip(shapes[name], array.shape, strict=True)
    ]
    # Single atoms first: H comes from any bias, and then I from the columns of any W.
    for name, size, actual in sorted(equations, key=lambda each: len(each[1])):
        solver.require(name, size, actual)
    for name in arrays:
        solver.compare(name, shapes[name], arrays[name].shape)
    wanted = {atom for name in (*arrays, "x", "h", "c") for part in shapes[name] for atom in part}
    missing = sorted(wanted - solver.sizes.keys())
    if missing:
        raise InputError(
            f"the parameters do not determine {' and '.join(missing)}",
            where=place,
            hint="give all parameters of the cell; `lstm-step list cells` shows their shapes",
        )
    return solver.sizes


@dataclass
class _Solver:
    sizes: dict[str, int]
    origin: dict[str, str]
    place: str

    def require(self, name: str, size: Size, actual: int) -> None:
        unknown = [atom for atom in size if atom not in self.sizes]
        if len(unknown) == 1:
            rest = actual - sum(self.sizes.get(atom, 0) for atom in size)
            if rest >= 1:
                self.sizes[unknown[0]] = rest
                self.origin[unknown[0]] = name

    def compare(self, name: str, shape: Shape, actual: tuple[int, ...]) -> None:
        for size, number in zip(shape, actual, strict=True):
            known = all(atom in self.sizes for atom in size)
            if known and sum(self.sizes[atom] for atom in size) != number:
                told = {atom: self.origin[atom] for atom in dict.fromkeys(size)}
                why = ", ".join(f"{a} = {self.sizes[a]} from {n}" for a, n in told.items())
                raise self.error(name, shape, actual, why)

    def error(self, name: str, shape: Shape, actual: tuple[int, ...], why: str) -> ShapeError:
        wanted = describe(shape)
        numbers = [
            str(sum(self.sizes[a] for a in size)) if all(a in self.sizes for a in size) else "?"
            for size in shape
        ]
        if "?" not in numbers:
            wanted += f" = ({', '.join(numbers)}{',' if len(numbers) == 1 else ''})"
        because = f"; {why}" if why else ""
        return ShapeError(
            f"{name} has shape {actual}, needs {wanted}{because}",
            where=self.place,
            hint="check for a transposed or truncated array, or another layout: --convention",
        )
