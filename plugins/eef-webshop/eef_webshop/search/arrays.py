"""Memory-mapped NumPy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

MAX_READ_SIZE = 1 << 12
"""Files up to this size in bytes are read: mapping takes longer, and an empty array can't be mapped."""


def load(folder: Path, name: str) -> np.ndarray[Any, Any]:
    """Open `name.npy` of a folder for reading.

    Raises:
        OSError: it is missing or can't be read.
        ValueError: it isn't an array, or is truncated.
    """
    path = folder / f"{name}.npy"
    small = path.stat().st_size <= MAX_READ_SIZE
    return np.asarray(np.load(path, mmap_mode=None if small else "r", allow_pickle=False))
