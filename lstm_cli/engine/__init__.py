"""Computing with cells: runs, gradients, fixed point, and when two numbers agree.

Start with `run`, which evaluates the table row by row. For long runs `plan` lowers the table to
array operations for `numpy_engine` or `numba_engine`; `choice` picks one. `agreement` decides
when two numbers agree.
"""
