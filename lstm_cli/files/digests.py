"""Digests of files, to tell whether results computed from them are still valid."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from lstm_cli.base.errors import LstmStepError
from lstm_cli.files.remote import is_remote, place_of
from lstm_cli.files.safe import open_checked

DIGITS = 32
PIECE_BYTES = 2**20


class Digests:
    """Digests of files, each read again only if its metadata changes.

    Args:
        root: the folder that paths are relative to, if not the current one.
    """

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.known: dict[str, tuple[object, str]] = {}

    def of(self, name: str) -> str:
        """Return the digest of a file's content; "" if it cannot be read."""
        try:
            path = place_of(name, self.root)
            now = _fingerprint(path)
            before, digest = self.known.get(name, (None, ""))
            if now != before:
                digest = content_of(path)
                self.known[name] = now, digest
        except (OSError, ValueError, LstmStepError):  # opening it later reports why
            return ""
        return digest

    def unchanged(self, files: Mapping[str, str]) -> bool:
        """Whether the files still match their digests, given as name -> digest."""
        return all(self.of(name) == digest for name, digest in files.items())


def _fingerprint(path: Path) -> object:
    """Fingerprint that changes when a file does; a remote file is not checked again.

    Raises:
        OSError: the file does not exist.
    """
    if is_remote(path):
        return "elsewhere"
    told = os.stat(path)
    if not stat.S_ISREG(told.st_mode):
        raise OSError("not a regular file")
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def content_of(path: Path) -> str:
    """Return the digest of a file's content.

    Raises:
        InputError: it cannot be opened.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_checked(path) as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()[:DIGITS]
