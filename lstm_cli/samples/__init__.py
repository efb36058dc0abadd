"""Samples: an input, its states, its weights and what should come out, from files of many kinds.

JSON (one object, or an array of them), JSONL (one a line), CSV (a row a sample), each of them
also `.gz` or `.zst`; npz (arrays over samples); Parquet (a row a sample). A sample that cannot be
read becomes a `BadSample`; none is ever dropped.
"""

from __future__ import annotations

from lstm_cli.samples.chunks import Chunk, Columns, Lines, Objects, Origin, Rows, key_of
from lstm_cli.samples.files import CHUNK, all_chunks, find_files, read_samples
from lstm_cli.samples.sample import (
    KEYS,
    BadSample,
    Read,
    Sample,
    extra_keys,
    is_answer,
    read_sample,
)

__all__ = [
    "CHUNK",
    "KEYS",
    "BadSample",
    "Chunk",
    "Columns",
    "Lines",
    "Objects",
    "Origin",
    "Read",
    "Rows",
    "Sample",
    "all_chunks",
    "extra_keys",
    "find_files",
    "is_answer",
    "key_of",
    "read_sample",
    "read_samples",
]
