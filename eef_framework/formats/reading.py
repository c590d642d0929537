"""Reads trajectories and examples from files in any of the formats."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from eef_framework.errors import ConfigError, CorruptFile, EefError, EefWarning
from eef_framework.formats import episodes, training_examples
from eef_framework.formats.containers import read_container
from eef_framework.formats.dialogue import Dialogue, MalformedRow, UnknownFormat, reason_of
from eef_framework.formats.found_rows import BadRow, FoundRow, Report
from eef_framework.formats.table import FORMATS, format_named, format_of
from eef_framework.records import Example, Trajectory, VersionedRecord
from eef_framework.runs import RunLayout, looks_like, read_rows, was_run
from eef_framework.runs.contents import shape
from eef_framework.runs.lines import read_lines

R = TypeVar("R", bound=VersionedRecord)

OWN: dict[str, type[VersionedRecord]] = {"trajectories": Trajectory, "examples": Example}
"""Our own formats."""
_LOOKED_AT = 20
_NAMED = 10
"""Number of bad rows that a warning names."""


class ReadRow(NamedTuple):
    """A row as it was understood."""

    found: FoundRow
    format: str
    """Name of its format."""
    content: Dialogue | VersionedRecord
    """A record for our own formats."""


@contextmanager
def reasons_told() -> Iterator[None]:
    """Turn what data of an unexpected shape raises into a malformed row, so that the other rows are read.

    Raises:
        MalformedRow: anything of the kind was raised.
    """
    try:
        yield
    except MalformedRow:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as cause:
        raise MalformedRow(f"of an unexpected shape ({type(cause).__name__}: {cause})") from cause


def own_kind(path: Path) -> type[VersionedRecord] | None:
    """Return which of our records a file contains; None if it has another format, or can't be read."""
    if path.is_dir():
        return None
    try:
        lines = [line.data for line in islice(read_lines(path), _LOOKED_AT)]
    except EefError:
        return None
    return next((kind for line in lines if (kind := _kind(line)) is not None), None)


def _kind(line: bytes) -> type[VersionedRecord] | None:
    kind = shape(line)
    return None if kind is Example and not _is_example(from_json(line)) else kind


def _is_example(row: dict[str, Any]) -> bool:
    """Return whether a row with an id and messages is our example, not one that OpenAI's API takes.

    Without weights, ours has nothing to learn, and in the other all answers are learned.
    """
    messages = row.get("messages")
    weighted = isinstance(messages, list) and any(isinstance(each, dict) and "weight" in each for each in messages)
    return {"id", "messages"} <= row.keys() <= Example.model_fields.keys() and ("version" in row or weighted)


def read_any(path: Path, report: Report, format: str | None = None) -> Iterator[ReadRow]:
    """Yield the rows of a file, each recognised by its content.

    Args:
        path: the file or folder.
        report: called with each row that was left out.
        format: name of the format, instead of recognising it.

    Raises:
        UnknownName: there is no such format.
        ConfigError: the folder is a run directory (`is-a-run`).
        StorageError: the file can't be read.
    """
    _check_not_run(path)
    if format is not None and format not in OWN:
        format_named(format, *OWN)
    for found in read_container(path, report):
        try:
            with reasons_told():
                name = format or _own(found.data) or format_of(found.data)
                parts = _conversations(found, name)
        except MalformedRow as cause:
            report(BadRow(found.path, found.row, str(cause), not isinstance(cause, UnknownFormat)))
            continue
        for part in parts:
            try:
                with reasons_told():
                    row = _understood(part, str(name))
            except MalformedRow as cause:
                report(BadRow(part.path, part.row, str(cause)))
                continue
            if row is not None:
                yield row


def _conversations(found: FoundRow, name: str | None) -> list[FoundRow]:
    """Return the conversations of a row, each with its place: most formats have one in a row."""
    if name is None:
        keys = ", ".join(map(repr, list(found.data)[:6])) or "none"
        raise UnknownFormat(f"of no known format (its keys: {keys})")
    split = None if name in OWN else FORMATS[name].conversations
    if split is None:
        return [found]
    return [
        FoundRow(found.path, f"{found.row}, {place}" if place else found.row, data) for place, data in split(found.data)
    ]


def _understood(found: FoundRow, name: str) -> ReadRow | None:
    if name in OWN:
        return ReadRow(found, name, _record(found.data, OWN[name]))
    dialogue = FORMATS[name].read(found.data)
    return None if dialogue is None else ReadRow(found, name, dialogue.ordered())


def _own(row: dict[str, Any]) -> str | None:
    if {"task", "initial"} <= row.keys():
        return "trajectories"
    return "examples" if _is_example(row) else None


def _record(row: dict[str, Any], record: type[VersionedRecord]) -> VersionedRecord:
    try:
        return record.model_validate_json(to_json(row, inf_nan_mode="constants"))
    except ValidationError as cause:
        raise MalformedRow(reason_of(cause)) from cause


class Ids:
    """Gives each row an id of its own. Rows without one are numbered, and so are repeated ones."""

    def __init__(self, path: Path) -> None:
        self._stem = path.name.partition(".")[0] or "row"
        self._seen: Counter[str] = Counter()
        self.repeated = 0

    def unique(self, given: str) -> str:
        """Return the id of the next row."""
        id_ = given or f"{self._stem}-{self._seen.total()}"
        self._seen[id_] += 1
        if self._seen[id_] == 1:
            return id_
        self.repeated += 1
        number = self._seen[id_]
        while f"{id_}#{number}" in self._seen:
            number += 1
        self._seen[f"{id_}#{number}"] += 1
        return f"{id_}#{number}"


def as_trajectory(row: ReadRow, ids: Ids) -> Trajectory:
    """Return a row as a trajectory.

    Raises:
        MalformedRow: it can't be one.
    """
    if isinstance(row.content, Trajectory):
        return row.content.changed(id=ids.unique(row.content.id))
    dialogue = training_examples.dialogue_of(row.content) if isinstance(row.content, Example) else row.content
    assert isinstance(dialogue, Dialogue)
    trajectory = episodes.trajectory_of(dialogue)
    id_ = ids.unique(trajectory.id)
    if dialogue.record.get("kind") == episodes.KIND:
        return trajectory.changed(id=id_)
    return episodes.named(
        trajectory, id_, format=row.format, file=row.found.path.name, row=row.found.row, verified=False
    )


def as_example(row: ReadRow, ids: Ids) -> Example:
    """Return a row as a training example.

    Raises:
        MalformedRow: it can't be one.
    """
    if isinstance(row.content, Example):
        return row.content.changed(id=ids.unique(row.content.id))
    dialogue = episodes.dialogue_of(row.content) if isinstance(row.content, Trajectory) else row.content
    assert isinstance(dialogue, Dialogue)
    example = training_examples.example_of(dialogue)
    id_ = ids.unique(example.id)
    return example.changed(id=id_, task=example.task or id_)


def read_records(path: Path, record: type[R]) -> list[R]:
    """Read the records of a file: our own, or those that a file in another format becomes.

    Args:
        path: the file, or a folder of data.
        record: what to read: trajectories or examples can have other formats.

    Warns:
        EefWarning: some rows of another format were left out (`rows-left-out`), or what the file says was changed or
            means something that may surprise (`duplicate-ids`, `failures-included`).

    Raises:
        CorruptFile: a line of our own format isn't such a record, or no row of another format can be used.
        StorageError: the file can't be read.
    """
    if record not in (Trajectory, Example) or own_kind(path) is not None or not path.exists():
        rows = list(read_rows(path, record))
        return _numbered(path, rows) if record is Trajectory else rows
    bad: list[BadRow] = []
    ids, found, failures = Ids(path), [], 0
    for row in read_any(path, bad.append):
        try:
            with reasons_told():
                made: Any = as_trajectory(row, ids) if record is Trajectory else as_example(row, ids)
        except MalformedRow as cause:
            bad.append(BadRow(row.found.path, row.found.row, str(cause)))
            continue
        failures += isinstance(row.content, Dialogue) and row.content.reward is not None and row.content.reward < 1
        found.append(made)
    if not found:
        if path.is_file() and not any(each.recognised for each in bad):
            return list(read_rows(path, record))  # its error says what the file looks like
        raise nothing_read(path, bad)
    warn_of_rows(path, len(found), bad)
    if ids.repeated:
        warn_of_ids(path, ids.repeated)
    if record is Example and failures:
        warn_of_failures(path, failures, len(found))
    return found


def _numbered(path: Path, rows: list[Any]) -> list[Any]:
    """Return trajectories with an id of their own each. Two files joined into one may have some twice."""
    ids = Ids(path)
    unique = [ids.unique(row.id) for row in rows]
    if ids.repeated:
        warn_of_ids(path, ids.repeated)
    return [row if row.id == id_ else row.changed(id=id_) for row, id_ in zip(rows, unique, strict=True)]


def _check_not_run(path: Path) -> None:
    """Reject a run directory: its files are of several kinds and phases, and don't belong together."""
    if not path.is_dir() or not was_run(path):
        return
    layout = RunLayout(path)
    files = [str(file) for key in layout.stages() if (file := layout.trajectories(key)).exists()]
    listed = ", ".join(files[:_NAMED]) + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else "")
    raise ConfigError(
        f"{str(path)!r} is a run directory, and a file or folder of trajectories or examples is needed",
        f"`eef report {path}` shows the run. Its files of trajectories: {listed or 'none yet'}.",
        code="is-a-run",
        path=str(path),
        files=files,
    )


def nothing_read(path: Path, bad: list[BadRow], format: str | None = None) -> CorruptFile:
    """Return the error for a file of which no row can be used.

    Args:
        path: the file.
        bad: the rows that were left out.
        format: the format that was named, if one was.
    """
    empty = path.is_file() and not path.stat().st_size
    first = (
        f": {bad[0]}"
        if bad
        else ": it is empty"
        if empty or path.is_dir()
        else f": it looks like {looks_like(path).what}"
    )
    return CorruptFile(
        f"{path} has no row that can be used{first}",
        "Check its name; if it is the right one, what wrote it was interrupted, or had nothing to write."
        if empty
        else f"Its rows were read as {format!r}, as named. If the file has another format, name that one."
        if format is not None
        else f"Formats are recognised by content ({', '.join(FORMATS)}); `eef convert --from` names one.",
        code="no-rows",
        path=str(path),
        left_out=[each._asdict() | {"path": str(each.path)} for each in bad],
    )


def warn_of_rows(path: Path, kept: int, bad: list[BadRow]) -> None:
    """Warn about rows that were left out: the first ones with their reasons.

    Warns:
        EefWarning: with the code `rows-left-out`.
    """
    if not bad:
        return
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    reasons = "; ".join(map(str, bad[:_NAMED]))
    warnings.warn(
        EefWarning(
            f"{path}: {kept} rows kept, {len(bad)} left out: {reasons}{more}",
            code="rows-left-out",
            path=str(path),
            kept=kept,
            left_out=[{"path": str(each.path), "row": each.row, "reason": each.reason} for each in bad],
        ),
        stacklevel=3,
    )


def warn_of_ids(path: Path, repeated: int) -> None:
    """Warn about rows with the id of an earlier one.

    Warns:
        EefWarning: with the code `duplicate-ids`.
    """
    message = f"{path}: {repeated} rows have the id of an earlier row; they are numbered (ID#2, ID#3, ...)"
    warnings.warn(EefWarning(message, code="duplicate-ids", path=str(path), rows=repeated), stacklevel=3)


def warn_of_failures(path: Path, failures: int, rows: int) -> None:
    """Warn that failures are trained on.

    Warns:
        EefWarning: with the code `failures-included`.
    """
    message = (
        f"{path}: {failures} of {rows} examples are of episodes with a reward below 1. All are trained on; recipes "
        "select by success if the file is given as collect.trajectories."
    )
    warnings.warn(
        EefWarning(message, code="failures-included", path=str(path), failures=failures, rows=rows), stacklevel=3
    )
