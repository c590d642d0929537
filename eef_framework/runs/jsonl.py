"""JSON Lines files of records: appended row by row, readable after a crash, with precise errors.

A process that is killed while writing leaves at most one torn last line. It is distinguished from a complete row
without a line end, and from data that others wrote: a file is never modified before all of it was read and verified to
be ours. A line that can't be parsed is reported with its position and never skipped silently.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Generic, Self, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from eef_framework.errors import ConfigError, storage
from eef_framework.records import Record
from eef_framework.records.base import SCHEMA_VERSION, VersionedRecord
from eef_framework.runs.atomic import check_regular, replacing, set_aside
from eef_framework.runs.file_names import LOCK
from eef_framework.runs.lines import Line, is_compressed, read_lines
from eef_framework.runs.lock import is_held, locked
from eef_framework.runs.places import run_of, settings_file
from eef_framework.runs.row_errors import corrupt_row, row_error

R = TypeVar("R", bound=VersionedRecord)


def read_rows(path: Path, record: type[R]) -> Iterator[R]:
    """Yield the records of a file one at a time.

    Args:
        path: the file: UTF-8, one record per line, plain or gzip-compressed.
        record: what its lines are.

    Raises:
        CorruptFile: a line isn't such a record; the message gives file, line and the error. The codes distinguish a
            damaged line (`corrupt-row`) from a file of other records (`wrong-kind`), of a newer version
            (`newer-format`), or something else (`foreign-file`).
        StorageError: the file can't be read.
    """
    for line in read_lines(path):
        if line.data.strip():
            try:
                row = record.model_validate_json(line.data)
            except ValidationError as cause:
                raise row_error(path, record, line, cause) from cause
            yield row


def parse_row(line: bytes, record: type[R], path: Path, number: int) -> R:
    """Read one line.

    Raises:
        CorruptFile: the line isn't such a record.
    """
    try:
        return record.model_validate_json(line)
    except ValidationError as cause:
        raise corrupt_row(path, record, Line(number, 0, line, line.endswith(b"\n")), cause) from cause


def write_rows(path: Path, rows: Iterable[VersionedRecord], record: type[VersionedRecord] | None = None) -> None:
    """Write a whole file of records atomically, replacing an earlier one of the same kind.

    Args:
        path: the file.
        rows: the rows to write.
        record: type of the rows; default: that of the first.

    Raises:
        CorruptFile: the existing file contains something else.
        StorageError: the disk is full.
    """
    rows = list(rows)
    if record or rows:
        check_output(path, record or type(rows[0]))
    _write(path, rows)


def check_output(path: Path, record: type[VersionedRecord], *inputs: Path | None) -> None:
    """Reject an output file that is an input, or that contains anything other than such records.

    Args:
        path: the file; it need not exist.
        record: type of the rows to write.
        inputs: files that are read, and folders with files that are read.

    Raises:
        ConfigError: it is one of the inputs, under any name (`output-is-input`), or its name asks for compression
            (`compressed-output`).
        CorruptFile: it contains something else (`foreign-file`, `wrong-kind`, ...).
        StorageError: it isn't a regular file, or can't be read.
    """
    check_not_input(path, *inputs)
    _check_writable_kind(path)
    if path.exists():
        for _ in _own_rows(path, record):
            pass


def _check_writable_kind(path: Path) -> None:
    check_regular(path)
    if path.name.endswith(".gz") or (path.exists() and is_compressed(path)):
        raise ConfigError(
            f"{str(path)!r} is compressed: such files are read, but not written to",
            "Name another file, or decompress it with gunzip first.",
            code="compressed-output",
            path=str(path),
        )


def check_not_input(path: Path, *inputs: Path | None) -> None:
    """Reject an output that is one of the inputs, under any name, including links.

    Raises:
        ConfigError: with the code `output-is-input`.
    """
    for given in inputs:
        if given is not None and path.exists() and given.exists() and path.samefile(given):
            raise ConfigError(
                f"{str(path)!r} is the output, but also an input: {str(given)!r}",
                "Choose another --out.",
                code="output-is-input",
                path=str(path),
                input=str(given),
            )


class JsonlFile(Generic[R]):
    """A file of records that a phase appends to. Only one process can open it at a time.

    A complete last row without a line end is kept. A torn last row has to be redone: in a run directory its bytes are
    cut off; elsewhere they are moved to `NAME.bad`. Either happens when the first row is appended, so that opening a
    file doesn't change it. If it is closed before any row was written, no file and no new folder is left.

    Args:
        path: the file; continued if it exists, otherwise created with its first row.
        record: what its lines are.

    Attributes:
        rows: the rows read when it was opened, and those appended since.
        before_first_row: called once, before the first row is written; None if there is nothing to do.

    Raises:
        ConfigError, CorruptFile, StorageError: as for `check_output`; the file is untouched.
        RunConflict: another process writes to it, or to the run that it belongs to.
    """

    def __init__(self, path: Path, record: type[R]) -> None:
        self.path = path
        self.record = record
        self.rows: list[R] = []
        self.before_first_row: Callable[[], None] | None = None
        self._target = Path(os.path.realpath(path))
        self._own_by_place = run_of(path) is not None
        self._size = 0
        """End of the last complete row; anything after it is torn."""
        self._ended = True
        self._file: FileIO | None = None
        _check_writable_kind(path)
        read = self._read()  # before anything is created next to a file that may not be ours
        with ExitStack() as stack:
            lock, owner = self._lock()
            if not is_held(lock):
                stack.callback(_remove_if_empty, [each for each in lock.parents if not each.exists()])
                stack.enter_context(locked(lock, owner))
                if owner == path:  # the lock of a run stays
                    stack.callback(self._remove_lock, lock)
            if read != self._state():  # another process wrote in between
                self._read()
            self._stack = stack.pop_all()

    def append(self, row: R) -> None:
        """Add a record.

        Raises:
            StorageError: the disk is full; earlier rows are kept, and nothing of this one is.
        """
        data = row.model_dump_json().encode() + b"\n"
        self._prepare()
        with storage(self.path, "writing to"):
            file = self._file = self._file or self._open()
            if os.fstat(file.fileno()).st_size > self._size:
                self._cut(file)
            if not self._ended:
                data = b"\n" + data
            before = self._size
            try:
                _write_all(file, data)
            except BaseException:
                file.truncate(before)
                raise
            self._size, self._ended = before + len(data), True
        self.rows.append(row)

    def rewrite(self, rows: Sequence[R]) -> None:
        """Replace all rows of the file, atomically.

        Raises:
            StorageError: the disk is full; the file is unchanged.
        """
        self._prepare()
        self._close()  # Windows can't replace an open file; and afterwards it is another file
        _write(self._target, rows)
        self.rows = list(rows)
        self._size, self._ended = self._target.stat().st_size, True

    def close(self) -> None:
        """Close the file; it can be opened again to continue."""
        self._close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _prepare(self) -> None:
        before, self.before_first_row = self.before_first_row, None
        if before is not None:
            before()

    def _remove_lock(self, lock: Path) -> None:
        """Remove the lock file, while it is held, if there is no file that it protects."""
        if not self._target.exists():
            with suppress(OSError):  # Windows doesn't remove an open file
                lock.unlink(missing_ok=True)

    def _lock(self) -> tuple[Path, Path]:
        """Return the lock file and what it protects: for a file of a run, the whole run."""
        run = run_of(self.path)
        if run is not None:
            return run / LOCK, run
        return self._target.with_name(f".{self._target.name}.lock"), self.path

    def _open(self) -> FileIO:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: when `append` returns, the operating system has the row, and killing the process doesn't lose it.
        return self._target.open("ab", buffering=0)

    def _state(self) -> tuple[int, int, int] | None:
        with storage(self.path, "reading"):
            status = self._target.stat() if self._target.exists() else None
        return status and (status.st_ino, status.st_size, status.st_mtime_ns)

    def _read(self) -> tuple[int, int, int] | None:
        state = self._state()
        self._size, self._ended = state[1] if state else 0, True
        self.rows.clear()
        for line, row in _own_rows(self.path, self.record) if state else ():
            if row is not None:
                self.rows.append(row)
                self._ended = line.ended
            else:
                self._size, self._ended = line.start, True
        return state

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _cut(self, own: FileIO) -> None:
        if not self._own_by_place:
            with self._target.open("rb") as file:
                file.seek(self._size)
                set_aside(self._target, file.read())
        own.truncate(self._size)


def _remove_if_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, until one isn't empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _write_all(file: FileIO, data: bytes) -> None:
    written = file.write(data)
    while written < len(data):  # a nearly full disk first writes a part, then reports why
        written += file.write(data[written:])


def _write(path: Path, rows: Iterable[Record]) -> None:
    with replacing(path) as file:
        for row in rows:
            file.write(row.model_dump_json().encode() + b"\n")


def _own_rows(path: Path, record: type[R]) -> Iterator[tuple[Line, R | None]]:
    """Yield the rows of a file that will be written to; None for a torn last row.

    Raises:
        CorruptFile: it contains anything else.
    """
    rows = 0
    for line in read_lines(path):
        if not line.data.strip():
            continue
        try:
            row = record.model_validate_json(line.data)
        except ValidationError as cause:
            if not line.ended and _is_torn(line.data, record, rows > 0 or _has_place(path)):
                yield line, None
                return
            error = row_error(path, record, line, cause)
            if error.code != "corrupt-row":
                error.fix = "Choose another --out: this file isn't touched."
            raise error from cause
        rows += 1
        yield line, row


def _has_place(path: Path) -> bool:
    """Return whether a file is ours by its location: in a run directory, or next to its settings."""
    return run_of(path) is not None or settings_file(path).exists()


def _is_torn(data: bytes, record: type[VersionedRecord], own: bool) -> bool:
    """Return whether the bytes at the end of a file are the beginning of one of our rows.

    Args:
        data: the bytes after the last line end.
        record: type of the row.
        own: whether the rest of the file shows that it is ours. Otherwise the bytes must.
    """
    data = data.rstrip(b"\0")  # a power failure may leave these
    first = list(record.model_fields)[1]
    begin = b'{"version":%d,"%s":' % (SCHEMA_VERSION, first.encode())
    if not data.startswith(begin) and not (own and begin.startswith(data)):
        return False
    try:
        from_json(data)
    except ValueError:
        return True
    return False
