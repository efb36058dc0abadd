"""What a cell is: a table of equations, its notation, shapes, weights and gradient.

`equations` parses a row, `cells` has the tables and their edits; `traits` and `roles` read off a
table what it is. Nothing here runs: numbers are made in `engine`.
"""
