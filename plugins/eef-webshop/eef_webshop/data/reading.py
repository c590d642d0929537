"""Thread-safe reading at a position of a file."""

from __future__ import annotations

import os
from threading import Lock

_LOCK = Lock()


def read_at(file: int, size: int, start: int) -> bytes:
    """Return `size` bytes from `start`, fewer at the end of the file.

    Args:
        file: descriptor of an open file.
        size: number of bytes.
        start: position of the first byte.
    """
    if hasattr(os, "pread"):
        return os.pread(file, size, start)
    with _LOCK:  # on Windows, where the position is part of the descriptor
        os.lseek(file, start, os.SEEK_SET)
        return os.read(file, size)
