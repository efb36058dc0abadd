"""Samples: an input, its states, its weights and what should come out, from files of many kinds.

JSON (one object, or an array of them), JSONL (one a line), CSV (a row a sample), each of them
also `.gz` or `.zst`; npz (arrays over samples); Parquet (a row a sample). A sample that cannot be
read becomes a `BadSample`; none is ever dropped.
"""

from __future__ import annotations

from lstm_cli.samples.files import find_files, read_samples
from lstm_cli.samples.sample import BadSample, Read, Sample, read_sample

__all__ = ["BadSample", "Read", "Sample", "find_files", "read_sample", "read_samples"]
