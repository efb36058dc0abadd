"""A wrong table must turn the suite red: each operator of each row, and the known mistakes.

The killers are the golden numbers and the second witness of `tests/cases.py`, the same cases
that `test_goldens.py` runs. A mutant that no case tells from the truth survives, and fails here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lstm_cli.base.errors import LstmStepError
from lstm_cli.cell.cells import Cell
from lstm_cli.cell.equations import FUNCTIONS, Apply, Equation, Node, Number
from lstm_cli.cell.notation import write
from tests.cases import WITNESS_SPECS, Case, spec_cell, witness_case

SWAPS = {"+": "-", "-": "+", "*": "+", "/": "*", "min": "max", "max": "min",
         "sigmoid": "tanh", "tanh": "sigmoid", "hard_sigmoid": "sigmoid",
         "hard_sigmoid_6": "hard_sigmoid", "softsign": "tanh", "softplus": "relu",
         "relu": "softplus", "affine": "scaled_tanh", "scaled_tanh": "affine",
         "leaky_relu": "elu", "elu": "leaky_relu", "thresholded_relu": "leaky_relu",
         "clip": "affine"}  # fmt: skip


def mutants(node: Node) -> Iterator[Node]:
    """Yield trees that differ from `node` in one operator, function, constant or operand order."""
    if isinstance(node, Number):
        yield Number(node.value + 0.25)
    if not isinstance(node, Apply):
        return
    if node.function in SWAPS:
        other = SWAPS[node.function]
        yield Apply(other, node.arguments[: len(FUNCTIONS[other].parameters)])
    if node.function in ("concat", "-", "/"):
        yield Apply(node.function, node.arguments[::-1])
    if not FUNCTIONS[node.function].operator:
        yield node.arguments[0]  # the activation left out
    if node.function in ("+", "*"):
        yield from node.arguments  # a term or a factor left out
    for index, argument in enumerate(node.arguments):
        for mutant in mutants(argument):
            changed = (*node.arguments[:index], mutant, *node.arguments[index + 1 :])
            yield Apply(node.function, changed)


def mutated_cells(cell: Cell) -> Iterator[tuple[str, Cell]]:
    """Yield (description, cell with one row mutated)."""
    for index, row in enumerate(cell.equations):
        for tree in mutants(row.expression):
            changed = Equation(row.symbol, tree, row.label)
            rows = (*cell.equations[:index], changed, *cell.equations[index + 1 :])
            yield f"{row.symbol} = {write(tree)}", Cell(cell.name, "mutant", rows)


def survives(case: Case, cell: Cell) -> bool:
    """Return whether a case cannot tell a cell from the right one."""
    if set(cell.parameters) != set(case.cell.parameters):
        # A term was left out with its parameter: give the mutant what it still uses.
        used = cell.parameters
        case = case.with_arrays(lambda arrays: {k: v for k, v in arrays.items() if k in used})
    return case.difference(case.run(cell)) <= case.atol


@pytest.mark.parametrize("name", WITNESS_SPECS)
def test_no_mutant_of_a_row_survives(name: str) -> None:
    """One operator changed in any row of any cell is seen by the witness's numbers."""
    case, count = witness_case(name), 0
    for description, cell in mutated_cells(spec_cell(name)):
        count += 1
        try:
            assert not survives(case, cell), f"survivor: {description}"
        except LstmStepError:
            continue  # sizes no longer agree: refused before it computes anything
    assert count > 30


def test_a_liar_is_caught() -> None:
    """The killer itself can fail: the right cell survives, so `survives` is not always False."""
    case = witness_case("lstm")
    assert survives(case, case.cell)
