"""A part of Jericho that isn't public: the C library that is loaded when TextWorld is imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

LIBRARY = "libfrotz.so"


def library_path() -> Path | None:
    """Return where Jericho's C library should be, or None if Jericho isn't installed."""
    package = find_spec("jericho")
    return Path(package.origin or "").parent / LIBRARY if package else None
