"""Wrong LSTMs: the catalogue of mistakes, the search among them, and the diagnosis.

`catalogue` gathers the rows; `expected` says what somebody's numbers claim, `search` looks for the
mistake that makes them, `diagnosis` tells it.
"""
