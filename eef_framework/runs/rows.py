"""Records as lines of JSON: appended one by one, readable after a crash, and exact about what is wrong.

A row is complete when its line ends. A process that is killed while writing leaves at most one torn last line; that
row is owed again, and the next start cuts it off. Any other line that doesn't read is corruption, which is reported
with its place and never skipped silently.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, Self, TypeVar

from pydantic import ValidationError

from eef_framework.errors import CorruptFile, storage
from eef_framework.records import Record
from eef_framework.runs.atomic import write_text

R = TypeVar("R", bound=Record)


def read_rows(path: Path, record: type[R]) -> Iterator[R]:
    """Read a file of records, one at a time.

    Args:
        path: the file, UTF-8, a record a line.
        record: what its lines are.

    Raises:
        CorruptFile: a line is no such record; names file, line and what is wrong with it.
        StorageError: the file can't be read.
    """
    with storage(path, "reading"), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield parse_row(line, record, path, number)


def parse_row(line: bytes, record: type[R], path: Path, number: int) -> R:
    """Read one line.

    Raises:
        CorruptFile: the line is no such record.
    """
    try:
        return record.model_validate_json(line)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        excerpt = line[:60].decode("utf-8", "replace").strip()
        raise CorruptFile(
            f"{path}, line {number} is not a {record.__name__.lower()}: {f'{place}: ' if place else ''}{first['msg']} "
            f"(the line begins {excerpt!r})",
            f"All other lines are untouched. `eef repair {path}` sets bad lines aside in {path.name}.bad; repeating "
            "the run then redoes just those.",
        ) from cause


def write_rows(path: Path, rows: Iterable[Record]) -> None:
    """Write a whole file of records atomically."""
    write_text(path, "".join(row.model_dump_json(exclude_defaults=False) + "\n" for row in rows))


def repair(path: Path, record: type[R]) -> tuple[int, int]:
    """Set the lines that don't read aside, in a file of the same name with `.bad` behind it.

    Returns:
        How many lines are good, and how many were set aside.
    """
    good: list[str] = []
    bad: list[str] = []
    with storage(path, "reading"):
        lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            parse_row(line, record, path, number)
            good.append(line.decode().rstrip("\n") + "\n")
        except CorruptFile:
            bad.append(line.decode("utf-8", "replace"))
    if bad:
        write_text(path.with_name(path.name + ".bad"), "".join(bad))
        write_text(path, "".join(good))
    return len(good), len(bad)


class RowFile(Generic[R]):
    """A file of records that grows while a phase goes on.

    Args:
        path: the file; created with its folder if absent, continued if present.
        record: what its lines are.

    Attributes:
        rows: what was in it when it was opened, and what was appended since.
    """

    def __init__(self, path: Path, record: type[R]) -> None:
        self.path = path
        self.record = record
        self.rows: list[R] = []
        with storage(path, "opening"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                _cut_torn_row(path)
                self.rows = list(read_rows(path, record))
            # Unbuffered: a row is with the operating system, safe from a killed process, when `append` returns.
            self._file = path.open("ab", buffering=0)

    def append(self, row: R) -> None:
        """Add a record.

        Raises:
            StorageError: the disk is full; the rows before are kept.
        """
        data = row.model_dump_json().encode() + b"\n"
        with storage(self.path, "writing to"):
            written = self._file.write(data)
            while written < len(data):  # a nearly full disk takes a part, and then says why
                written += self._file.write(data[written:])
        self.rows.append(row)

    def close(self) -> None:
        """Close the file; it can be opened again to go on."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _cut_torn_row(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        position = end
        while position > 0 and b"\n" not in tail:
            start = max(0, position - 65536)
            file.seek(start)
            tail = file.read(position - start) + tail
            position = start
        keep = position + tail.rfind(b"\n") + 1
        if keep < end:
            file.truncate(keep)
