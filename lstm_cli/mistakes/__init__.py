"""Mistakes in LSTM code: the catalogue, the search through it, and the diagnosis.

`catalogue` collects the rows, `expected` holds the numbers to explain, `search` looks for the
mistake that produces them, and `diagnosis` reports it.
"""
