"""Rows of files, as they are read: found, or left out with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class BadRow(NamedTuple):
    """A row that was left out."""

    path: Path
    row: str
    """`line 12`, `row 3`, `train/7`, or empty for what concerns the file."""
    reason: str
    recognised: bool = True
    """Whether it has one of the formats."""

    def __str__(self) -> str:
        return f"{self.path}, {self.row}: {self.reason}" if self.row else f"{self.path}: {self.reason}"


class FoundRow(NamedTuple):
    """A row as it was read."""

    path: Path
    row: str
    data: dict[str, Any]


Report = Callable[[BadRow], None]
"""Called with each row that is left out."""
