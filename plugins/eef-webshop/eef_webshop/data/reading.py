"""Reading a part of a file by its place, from any thread."""

from __future__ import annotations

import os
from threading import Lock

_LOCK = Lock()


def read_at(file: int, size: int, start: int) -> bytes:
    """Return `size` bytes from `start`, fewer at the end of the file.

    Args:
        file: descriptor of an open file.
        size: how many bytes.
        start: where they begin.
    """
    if hasattr(os, "pread"):
        return os.pread(file, size, start)
    with _LOCK:  # on Windows, where a place belongs to the descriptor
        os.lseek(file, start, os.SEEK_SET)
        return os.read(file, size)
