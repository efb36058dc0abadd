"""Weights in files: conventions, layouts, how they are detected, and a file a format.

`registry` has a row for each format, whose own file reads and writes it; `detect` finds the LSTMs
among tensors, `conventions` has the rows that say how frameworks lay weights out, and `read` makes
a model of what is found. Start with `read`.
"""
