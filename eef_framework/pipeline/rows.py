"""Files of records that go from one phase to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from eef_framework.records import VersionedRecord
from eef_framework.runs import JsonlFile, read_rows, write_rows

R = TypeVar("R", bound=VersionedRecord)


class Rows(Generic[R]):
    """A file of records: written whole, and read when it is first needed.

    Args:
        path: the file.
        record: what its lines are.
    """

    def __init__(self, path: str | Path, record: type[R]) -> None:
        self.path = Path(path).expanduser()
        self.record = record
        self._rows: list[R] | None = None

    def read(self) -> list[R]:
        """Return the records, from memory once they were read or written.

        Raises:
            StorageError: the file can't be read.
            CorruptFile: a line is no such record.
        """
        if self._rows is None:
            self._rows = list(read_rows(self.path, self.record))
        return self._rows

    def read_if_there(self) -> list[R]:
        """Return the records; none of a file that doesn't exist."""
        return self.read() if self._rows is not None or self.path.exists() else []

    def write(self, rows: Sequence[R]) -> None:
        """Write the whole file, atomically."""
        write_rows(self.path, rows, self.record)
        self._rows = list(rows)

    def forget(self) -> None:
        """Give the memory back; the file is read again when it is needed again."""
        self._rows = None

    def rewrite(self, file: JsonlFile[R], rows: Sequence[R]) -> None:
        """Put these rows in place of all that the file has, which is open to be appended to."""
        file.rewrite(rows)
        self._rows = list(rows)
