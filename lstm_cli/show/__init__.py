"""A run on its way to a reader: rows, sentences, worked arithmetic, circuit and colours.

`rows` first: what every form of an answer shows; `draw` draws it with rich.
"""
