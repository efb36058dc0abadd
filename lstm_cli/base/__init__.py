"""What every room stands on: errors, records, arrays, numbers, and text on its way out.

`errors` first: what goes wrong says what, where and what to try, and `errors.safe` is the one
way of foreign text to a terminal; `html` and `c_text` are those into HTML and into C.
`numbers` is the one way of a number to a reader.
"""
