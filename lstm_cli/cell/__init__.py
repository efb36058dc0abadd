"""Cells: a table of equations, its notation, shapes, weights and gradient.

Start with `equations`, which parses a row, and `cells`, which holds the tables and their edits;
`traits` and `roles` classify a table. Nothing here runs a cell: that is the job of `engine`.
"""
