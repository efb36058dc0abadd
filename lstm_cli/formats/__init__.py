"""Weights in files: conventions, layouts, their detection, and one file for each format.

`registry` has a row for each format, whose own file reads and writes it; `detect` finds the LSTMs
among tensors; `conventions` has the rows that say how frameworks lay weights out; and `read` builds
a model from what is found. Start with `read`.
"""
