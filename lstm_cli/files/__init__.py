"""Bytes in and out, safely: what strangers made is checked before memory is taken.

`safe` opens and reads, `output` writes, whole or not at all; `vectors` reads what people type.
"""
