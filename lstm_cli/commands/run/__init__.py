"""`lstm-step run`: one step or many, as a table, text, data or a C header."""
