"""Errors for files with lines that aren't the expected records."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from eef_framework.errors import CorruptFile
from eef_framework.records.base import VersionedRecord
from eef_framework.runs.contents import contents, is_newer, looks_like, plural, shape
from eef_framework.runs.lines import Line, is_compressed
from eef_framework.runs.places import run_of

_LOOKED_AT = 2000
"""Number of lines examined to identify a file that can't be parsed."""


def row_error(path: Path, record: type[VersionedRecord], line: Line, cause: ValidationError) -> CorruptFile:
    """Return the error for a file with a line that isn't such a record."""
    found = contents(path, _LOOKED_AT)
    if is_newer(line.data):
        return CorruptFile(
            f"{path}, line {line.number} was written by a newer eef-framework",
            "Upgrade eef-framework.",
            code="newer-format",
            path=str(path),
            line=line.number,
        )
    if found.counts[record]:
        return corrupt_row(path, record, line, cause)
    if shape(line.data) is record:
        return corrupt_row(path, record, line, cause, "Correct it, or write the file anew: no other row reads either.")
    if found.kind is not None:
        return CorruptFile(
            f"{path} has {plural(found.kind)}, not {plural(record)}",
            "Name another file.",
            code="wrong-kind",
            path=str(path),
            expected=record.__name__,
            found=found.kind.__name__,
        )
    likeness = looks_like(path)
    return CorruptFile(
        f"{path} has no {plural(record)}: it looks like {likeness.what}",
        likeness.advice,
        code="foreign-file",
        path=str(path),
        expected=record.__name__,
        looks_like=likeness.what,
    )


def corrupt_row(
    path: Path, record: type[VersionedRecord], line: Line, cause: ValidationError, fix: str = ""
) -> CorruptFile:
    """Return the error for a damaged line (`corrupt-row`), with its place and how to repair the file."""
    first = cause.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    excerpt = line.data[:60].decode("utf-8", "replace").strip()
    repair = (
        "Decompress it with gunzip; `eef repair` then sets bad lines aside."
        if path.is_file() and is_compressed(path)
        else f"`eef repair {path}` sets bad lines aside in {path.name}.bad and keeps all others; "
        + (
            "`eef convert` leaves them out of a new file."
            if run_of(path) is None
            else "repeating the run then redoes just those."
        )
    )
    return CorruptFile(
        f"{path}, line {line.number} isn't a valid {record.__name__.lower()}: {f'{place}: ' if place else ''}"
        f"{first['msg']} (the line begins {excerpt!r})",
        fix or repair,
        code="corrupt-row",
        path=str(path),
        line=line.number,
        torn=not line.ended,
    )
