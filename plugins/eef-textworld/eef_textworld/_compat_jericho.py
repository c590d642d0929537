"""Jericho: the C library that TextWorld loads when it is imported.

`tests/test_textworld_compat.py` checks that it is where this module looks for it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

LIBRARY = "libfrotz.so"


def library_path() -> Path | None:
    """Return where Jericho's C library should be, or None if Jericho isn't installed."""
    package = find_spec("jericho")
    return Path(package.origin or "").parent / LIBRARY if package else None
