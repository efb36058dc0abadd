"""A run on its way to a reader: rows, and what text, table and pages make of them."""
