"""Files of examples, with errors that identify the example."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic_core import from_json

from eef_framework.errors import CorruptFile, EefError
from eef_framework.runs.lines import read_lines


@contextmanager
def rows_named(path: Path) -> Iterator[None]:
    """Add file, line and id of an example to an error about it.

    Args:
        path: a file of examples.
    """
    try:
        yield
    except EefError as error:
        known = error.details
        if ("id" in known) == ("line" in known):  # everything is known, or it isn't about an example
            raise
        found: tuple[int, str | None] | None = None
        with suppress(EefError):  # the file itself may be wrong
            rows = (row for row in _ids(path) if row == (known.get("line", row[0]), known.get("id", row[1])))
            found = next(rows, None)
        if found is None or found[1] is None:
            raise
        line, id_ = found
        place = f"{path}, line {line}" if "id" in known else f"example {id_!r}"
        error.message = f"{place}: {error.message}"
        error.details |= {"path": str(path), "line": line, "id": id_}
        raise


def check_ids(path: Path) -> None:
    """Check that no two rows of a file have the same id, by which everything names them.

    Raises:
        CorruptFile: two have (`duplicate-id`).
        StorageError: the file can't be read.
    """
    first: dict[str, int] = {}
    for line, id_ in _ids(path):
        if id_ is not None and first.setdefault(id_, line) != line:
            raise CorruptFile(
                f"{path}, line {line}: the id {id_!r} is that of line {first[id_]} too",
                "Give each row an id of its own. To learn an example more often, raise its weights.",
                code="duplicate-id",
                path=str(path),
                line=line,
                first_line=first[id_],
                id=id_,
            )


def _ids(path: Path) -> Iterator[tuple[int, str | None]]:
    """Yield number and id of each line; None for the id of one that has none."""
    for line in read_lines(path):
        try:
            row = from_json(line.data)
        except ValueError:
            row = None
        id_ = row.get("id") if isinstance(row, dict) else None
        yield line.number, id_ if isinstance(id_, str) else None
