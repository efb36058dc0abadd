"""The numbers of a cell: runs, gradients, fixed point, and when two numbers agree.

`run` first: it evaluates the table row by row. For long runs `plan` makes code of the table, which
`numpy_engine` and `numba_engine` run; `choice` says which. `agreement` decides when numbers agree.
"""
