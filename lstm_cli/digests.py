"""The content of files as short texts, to tell whether what was computed from them still holds."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

DIGITS = 32


class Digests:
    """Digests of files, each read once while what the system says of it stays the same."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[object, str]] = {}

    def of(self, path: Path) -> str:
        """Return the digest of a file's content; "" where there is no such file to be read."""
        try:
            told = os.stat(path)
            if not stat.S_ISREG(told.st_mode):
                return ""
            now = told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns
            before, digest = self.known.get(str(path), (None, ""))
            if now != before:
                digest = content_of(path)
                self.known[str(path)] = now, digest
        except (OSError, ValueError):  # a name that no system takes is no file either
            return ""
        return digest


def content_of(path: Path) -> str:
    """Return the digest of what is in a file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:DIGITS]
