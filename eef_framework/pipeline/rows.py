"""Files of records that are passed from one phase to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from eef_framework.errors import EefError
from eef_framework.formats import read_records
from eef_framework.records import Trajectory, VersionedRecord
from eef_framework.runs import JsonlFile, write_rows

R = TypeVar("R", bound=VersionedRecord)


class Rows(Generic[R]):
    """A file of records: written as a whole, and read on first access. Files of other formats are converted.

    Args:
        path: the file.
        record: type of its lines.
    """

    def __init__(self, path: str | Path, record: type[R]) -> None:
        self.path = Path(path).expanduser()
        self.record = record
        self._rows: list[R] | None = None

    def read(self) -> list[R]:
        """Return the records, from memory after the first read or write.

        Raises:
            StorageError: the file can't be read.
            CorruptFile: a line isn't such a record.
        """
        if self._rows is None:
            self._rows = read_records(self.path, self.record)
        return self._rows

    def read_if_there(self) -> list[R]:
        """Return the records; an empty list if the file doesn't exist."""
        return self.read() if self._rows is not None or self.path.exists() else []

    def write(self, rows: Sequence[R]) -> None:
        """Write the whole file, atomically."""
        write_rows(self.path, rows, self.record)
        self._rows = list(rows)

    def forget(self) -> None:
        """Release the memory; the file is read again on the next access."""
        self._rows = None

    def rewrite(self, file: JsonlFile[R], rows: Sequence[R]) -> None:
        """Replace all rows of a file that is open for appending."""
        file.rewrite(rows)
        self._rows = list(rows)


def read_some(demonstrations: Rows[Trajectory]) -> list[Trajectory]:
    """Return demonstrations, of which there has to be one.

    Raises:
        EefError: there is none (`no-demonstrations`).
    """
    found, path = demonstrations.read(), demonstrations.path
    if not found:
        raise EefError(
            f"{path} has no demonstration",
            "Name another file, or collect some.",
            code="no-demonstrations",
            path=str(path),
        )
    return found
