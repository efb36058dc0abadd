"""The foundation of every room: errors, records, arrays, numbers, and escaping of text.

Start with `errors`: every error says what is wrong, where, and what to try. `errors.safe` is the
only way to print foreign text on a terminal; `html` writes HTML, `arrays` C. `numbers`
formats every number that is shown.
"""
