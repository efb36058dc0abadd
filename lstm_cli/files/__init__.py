"""Safe input and output: untrusted files are checked before memory is allocated.

`safe` opens and reads, `output` writes atomically, and `vectors` reads what people type.
"""
