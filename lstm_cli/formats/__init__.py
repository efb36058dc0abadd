"""Weights in files: conventions, layouts, how they are detected, and a file a format.

`read` chooses a format by content and name and makes a model, `save` writes one; `detect` finds the
LSTMs among tensors, and `conventions` has the rows that say how frameworks lay weights out.
"""
