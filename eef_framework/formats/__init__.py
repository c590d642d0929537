"""Formats of other programs: accepted wherever trajectories or examples are read, and written by `eef convert`.

`containers` and `writing` know files (JSON, Parquet, zip), one module for each format knows rows, and `dialogue` is the
form in between. Formats are a table rather than a kind of plugin: to read another one, write our records with ten
lines of Python (docs/formats.md).
"""

from eef_framework.formats.conversion import LOSSES, Converted, convert
from eef_framework.formats.reading import OWN, own_kind, read_records
from eef_framework.formats.table import FORMATS
from eef_framework.formats.verification import (
    Verification,
    explorable,
    is_imported,
    read_demonstrations,
    verified,
    warn_of_unverified,
)

__all__ = [
    "FORMATS",
    "LOSSES",
    "OWN",
    "Converted",
    "Verification",
    "convert",
    "explorable",
    "is_imported",
    "own_kind",
    "read_demonstrations",
    "read_records",
    "verified",
    "warn_of_unverified",
]
