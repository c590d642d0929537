"""Repairs files of records: corrupt lines are set aside unchanged, and a finished stage is reopened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from eef_framework.errors import ConfigError, CorruptFile
from eef_framework.records.base import VersionedRecord
from eef_framework.runs.atomic import check_regular, set_aside, write_bytes
from eef_framework.runs.contents import Contents, contents, looks_like, marked, plural
from eef_framework.runs.file_names import LOCK
from eef_framework.runs.lines import Line, is_compressed, read_lines
from eef_framework.runs.lock import is_held, locked
from eef_framework.runs.places import run_of
from eef_framework.runs.stage import Stage, reopen


class Repaired(NamedTuple):
    """Result of a repair."""

    kind: type[VersionedRecord] | None
    """None if there are no rows: the file of a complete stage is missing or empty."""
    good: int
    bad: int
    """Number of lines that were set aside."""
    failed: int
    """Number of lost episodes, or failed attributions. They stay in the file until the run redoes them."""
    aside: Path | None
    """The file that has them."""
    reopened: str
    """The stage that was reopened; empty if none was."""


def repair(path: Path) -> Repaired:
    """Set aside the corrupt lines of a file, and keep all others byte for byte.

    The stage of a run that the file belongs to is reopened if something is missing, or failed: repeating the run redoes
    that, and all rows if the file is gone.

    Raises:
        CorruptFile: nothing in the file can be parsed (`foreign-file`), it has several kinds of records
            (`mixed-kinds`), or lines of a newer version (`newer-format`). The file is untouched.
        ConfigError: it is compressed (`compressed-output`).
        RunConflict: another process writes to its run.
        StorageError: it can't be read or written.
    """
    check_regular(path)
    if path.exists() and is_compressed(path):
        raise ConfigError(
            f"{str(path)!r} is compressed, and only plain files are repaired",
            f"Decompress it: gunzip -c {path} > NEW. If that fails, restore it from its source.",
            code="compressed-output",
            path=str(path),
        )
    run = run_of(path)
    with ExitStack() as stack:
        if run is not None and not is_held(run / LOCK):
            stack.enter_context(locked(run / LOCK, run))
        if run is not None and _lost_all_rows(path):
            return Repaired(None, 0, 0, 0, None, reopen(path, 0))
        found = contents(path)
        kind = _kind(path, found)
        aside = _set_bad_lines_aside(path, kind) if found.bad else None
        reopened = reopen(path, found.counts[kind], found.failed) if run is not None else ""
    return Repaired(kind, found.counts[kind], found.bad, found.failed, aside, reopened)


def _lost_all_rows(path: Path) -> bool:
    """Return whether a file of a complete stage, which had rows, is missing or empty."""
    stage = Stage(path.parent, path.parent.name)
    return (not path.exists() or not path.stat().st_size) and any(lost == path for lost, _, _ in stage.rows_missing())


def _kind(path: Path, found: Contents) -> type[VersionedRecord]:
    if found.newer:
        raise CorruptFile(
            f"{path} has {found.newer} lines that were written by a newer eef-framework",
            "Upgrade eef-framework; the file is fine.",
            code="newer-format",
            path=str(path),
        )
    if len(found.counts) > 1:
        listed = " and ".join(f"{count} {plural(kind)}" for kind, count in found.counts.items())
        raise CorruptFile(
            f"{path} has records of several kinds: {listed}",
            "Separate them; the file isn't touched.",
            code="mixed-kinds",
            path=str(path),
        )
    with path.open("rb") as file:
        other = marked(file.read(32))  # an archive may hold rows as they are
    if found.kind is None or other:
        likeness = other or looks_like(path)
        raise CorruptFile(
            f"{path} isn't a file of records; it looks like {likeness.what}",
            likeness.advice or "Restore it, or delete it; repairing would leave nothing.",
            code="foreign-file",
            path=str(path),
            looks_like=likeness.what,
        )
    return found.kind


def _set_bad_lines_aside(path: Path, kind: type[VersionedRecord]) -> Path:
    lines = list(_raw_lines(path, kind))
    aside = set_aside(path, b"".join(raw for raw, good in lines if not good))
    write_bytes(path, b"".join(raw for raw, good in lines if good))
    return aside


def _raw_lines(path: Path, kind: type[VersionedRecord]) -> Iterator[tuple[bytes, bool]]:
    """Yield all bytes of a file, line by line, and whether they are kept."""
    data = path.read_bytes()
    for line in read_lines(path):
        raw = data[line.start : line.start + _length(data, line)]
        yield raw, not line.data.strip() or _reads(line.data, kind)


def _length(data: bytes, line: Line) -> int:
    end = data.find(b"\n", line.start)
    return (end + 1 if end >= 0 else len(data)) - line.start


def _reads(line: bytes, kind: type[VersionedRecord]) -> bool:
    try:
        kind.model_validate_json(line)
    except ValueError:
        return False
    return True
