"""Reads rows from files: JSON Lines, JSON, Parquet, folders of datasets, logs of inspect_ai; plain or gzip-compressed.

What can't be read is reported with file, row and reason, and everything else is read. Memory holds one row at a time,
and a row has a maximum length.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from eef_framework.errors import ConfigError, CorruptFile, storage
from eef_framework.runs import FILES
from eef_framework.runs.contents import looks_like
from eef_framework.runs.lines import FREE_BYTES, GZIP, MAX_LINE, MAX_RATIO

_ZSTD = 93
"""zip's number of this compression, which Python's zipfile has from 3.14 on."""
_BLOCK = 1 << 20
_MARKS = re.compile(rb'["\\{}\[\]]')
_DATA_FILES = ("*.parquet", "*.jsonl", "*.jsonl.gz", "*.json", "*.json.gz", "*.eval", "*.arrow")
TRACES = "traces.jsonl"
"""The file of episodes in a run's folder of verifiers, which also has configurations in JSON."""
TEXT_COLUMNS = ("eef", "extra", "metadata", "scores", "unfinished")
"""Columns of tables that hold JSON as text, because their fields differ from row to row."""


class BadRow(NamedTuple):
    """A row that was left out."""

    path: Path
    row: str
    """`line 12`, `row 3`, `train/7`, or empty for what concerns the file."""
    reason: str
    recognised: bool = True
    """Whether it has one of the formats."""

    def __str__(self) -> str:
        return f"{self.path}, {self.row}: {self.reason}" if self.row else f"{self.path}: {self.reason}"


class FoundRow(NamedTuple):
    """A row as it was read."""

    path: Path
    row: str
    data: dict[str, Any]


Report = Callable[[BadRow], None]


def read_container(path: Path, report: Report) -> Iterator[FoundRow]:
    """Yield the rows of a file, or of the files of a folder.

    Args:
        path: the file or folder.
        report: called with each row that can't be read.

    Raises:
        StorageError: the file can't be read.
        ConfigError: a package that reads it isn't installed.
    """
    if path.is_dir():
        yield from _read_folder(path, report)
        return
    with storage(path, "reading"), path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        yield from _read_parquet(path, report)
    elif start == b"PK\x03\x04":
        yield from _read_eval(path, report)
    else:
        yield from _read_text(path, start, report)


def _read_folder(path: Path, report: Report) -> Iterator[FoundRow]:
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        yield from _read_dataset(path, report)
        return
    trials = sorted(path.rglob("trajectory.json"))
    if trials:
        for file in trials:
            for found in read_container(file, report):
                yield found._replace(data=_with_result(found.data, file.parent.parent / "result.json"))
        return
    # Beside the episodes of an exploration, its verdicts, single actions and what was said of them aren't episodes.
    others = (FILES.attributions, FILES.advice, FILES.alternatives, FILES.reflections)
    beside = {path / name for name in others} if (path / FILES.simulations).exists() else set()
    files = sorted(path.rglob(TRACES)) or sorted(
        {file for pattern in _DATA_FILES for file in path.rglob(pattern) if file.is_file()} - beside
    )
    if not files:
        raise CorruptFile(
            f"{path} is a folder without data files",
            "Name a file, a folder that `datasets` saved, or one with files in JSON or Parquet.",
            code="no-data-files",
            path=str(path),
        )
    for file in files:
        yield from read_container(file, report)


def _with_result(row: dict[str, Any], result: Path) -> dict[str, Any]:
    """Return a trajectory of Harbor with task and reward of its trial, which stand in another file."""
    try:
        trial = json.loads(result.read_bytes())
        facts = {"task_id": trial["task_name"], "reward": next(iter(trial["verifier_result"]["rewards"].values()))}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return row  # it wasn't verified
    extra = row.get("extra")
    return {**row, "extra": facts | (extra if isinstance(extra, dict) else {})}


def _read_dataset(path: Path, report: Report) -> Iterator[FoundRow]:
    datasets = package("datasets", path)
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as cause:  # whatever the library raises for a damaged folder
        report(BadRow(path, "", f"datasets can't load it: {cause}"))
        return
    splits = loaded.items() if isinstance(loaded, dict) else [("", loaded)]
    for split, rows in splits:
        for number, row in enumerate(rows):
            yield FoundRow(path, f"{split}/{number}" if split else f"row {number}", _cleaned(row))


def _read_parquet(path: Path, report: Report) -> Iterator[FoundRow]:
    parquet = package("pyarrow.parquet", path)
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    yield FoundRow(path, f"row {number}", _cleaned(row))
                    number += 1
    except (OSError, ValueError) as cause:  # ArrowInvalid is a ValueError
        report(BadRow(path, f"row {number}", f"the Parquet file can't be read from here on: {cause}"))


def _cleaned(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a table without what the table added: fields that only other rows have, and JSON as text."""
    row = _without_none(row)
    for key in TEXT_COLUMNS:
        if isinstance(row.get(key), str):
            try:
                row[key] = json.loads(row[key])
            except ValueError:
                continue
    return row


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_none(each) for each in value]
    return value


def _read_eval(path: Path, report: Report) -> Iterator[FoundRow]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if info.filename.startswith("samples/")]
            if not names and "header.json" not in archive.namelist():
                report(BadRow(path, "", "a zip archive without samples of inspect_ai"))
            for info in names:
                try:
                    row = json.loads(_member(archive, info, path))
                except (ValueError, zipfile.BadZipFile, zlib.error, OSError) as cause:
                    report(BadRow(path, info.filename, f"can't be read: {cause}"))
                    continue
                if isinstance(row, dict):
                    yield FoundRow(path, info.filename, row)
    except zipfile.BadZipFile as cause:
        report(BadRow(path, "", f"a damaged zip archive: {cause}"))


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    if info.file_size > MAX_LINE:
        raise ValueError(f"longer than {MAX_LINE >> 20} MB")
    if info.compress_type != _ZSTD:
        return archive.read(info)
    pyarrow = package("pyarrow", path)
    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    header = archive.fp.read(30)
    name, extra = struct.unpack("<HH", header[26:30])
    archive.fp.seek(info.header_offset + 30 + name + extra)
    packed = pyarrow.BufferReader(archive.fp.read(info.compress_size))
    unpacked: bytes = pyarrow.CompressedInputStream(packed, "zstd").read(info.file_size + 1)
    if len(unpacked) != info.file_size:
        raise ValueError("its length isn't as announced")
    return unpacked


def _read_text(path: Path, start: bytes, report: Report) -> Iterator[FoundRow]:
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or (start.count(b"\0") and start[:2] != GZIP):
        likeness = looks_like(path)
        report(BadRow(path, "", f"it looks like {likeness.what}. {likeness.advice}".strip(), recognised=False))
        return
    compressed = start[:2] == GZIP
    with storage(path, "reading"), gzip.open(path) if compressed else path.open("rb") as file:
        source = _Bounded(file, max(FREE_BYTES, MAX_RATIO * path.stat().st_size) if compressed else None)
        try:
            yield from _rows(path, source, report)
        except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
            report(
                BadRow(path, "", f"the compressed file is damaged or truncated after {source.read_rows} rows: {cause}")
            )
        except _TooMuch:
            report(BadRow(path, "", "it expands too much; if it is what you expect, decompress it with gunzip first"))


class _TooMuch(Exception):
    """A compressed file expands beyond the limit."""


class _Bounded:
    """A file that ends with an error where it expands too much."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, limit: int | None) -> None:
        self.file, self.limit = file, limit
        self.total = self.read_rows = 0

    def readline(self) -> bytes:
        """Return a line, at most one byte longer than the limit of a row."""
        return self._counted(self.file.readline(MAX_LINE + 1))

    def block(self, least: int) -> bytes:
        """Return the next bytes, at least as many as are held already, so that copying them stays linear."""
        return self._counted(self.file.read(max(_BLOCK, least)))

    def _counted(self, data: bytes) -> bytes:
        self.total += len(data)
        if self.limit is not None and self.total > self.limit:
            raise _TooMuch
        return data


def _rows(path: Path, file: _Bounded, report: Report) -> Iterator[FoundRow]:
    line, number = file.readline(), 1
    while line and not line.removeprefix(codecs.BOM_UTF8).strip():
        line, number = file.readline(), number + 1
    line = line.removeprefix(codecs.BOM_UTF8)
    if line.lstrip().startswith(b"["):
        values = _objects(file, line[line.index(b"[") + 1 :])
    elif line.lstrip().startswith(b"{") and len(line) <= MAX_LINE and not _is_json(line):
        second = file.readline()
        if not second or _is_json(second):  # the first line alone is damaged
            yield from _lines(path, file, report, [line, second], number)
            return
        values = _objects(file, line + second)
    else:
        yield from _lines(path, file, report, [line], number)
        return
    for index, data in enumerate(values):
        yield from _parsed(path, f"row {index}", data, file, report)


def _lines(path: Path, file: _Bounded, report: Report, first: list[bytes], number: int) -> Iterator[FoundRow]:
    pending = iter(first)
    line = next(pending)
    while line:
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            report(BadRow(path, f"line {number}", f"longer than {MAX_LINE >> 20} MB"))
            while line and not line.endswith(b"\n"):
                line = file.readline()
        elif line.strip():
            yield from _parsed(path, f"line {number}", line.removeprefix(codecs.BOM_UTF8), file, report)
        line, number = next(pending, None) or file.readline(), number + 1


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(path: Path, position: str, data: bytes | None, file: _Bounded, report: Report) -> Iterator[FoundRow]:
    if data is None:
        report(BadRow(path, position, f"incomplete, or longer than {MAX_LINE >> 20} MB"))
        return
    try:
        row = json.loads(data.decode())
    except UnicodeDecodeError as cause:
        report(BadRow(path, position, f"not in UTF-8 ({cause.reason} at byte {cause.start})"))
        return
    except (ValueError, RecursionError) as cause:
        report(BadRow(path, position, f"not valid JSON: {cause}", recognised=False))
        return
    if isinstance(row, dict) and isinstance(row.get("samples"), list) and "eval" in row:
        yield from (
            FoundRow(path, f"sample {i}", each) for i, each in enumerate(row["samples"]) if isinstance(each, dict)
        )
        return
    if not isinstance(row, dict):
        report(BadRow(path, position, f"a JSON {type(row).__name__}; expected an object", recognised=False))
        return
    file.read_rows += 1
    yield FoundRow(path, position, row)


def _objects(file: _Bounded, data: bytes) -> Iterator[bytes | None]:
    """Yield the objects in a text, by their braces; None for one that is incomplete or too long.

    Memory holds one object and a block.
    """
    buffer, start, depth, position, in_string = data, -1, 0, 0, False
    too_long = False
    while True:
        for mark in _MARKS.finditer(buffer, position):
            if mark.start() < position:  # escaped
                continue
            position = mark.end()
            sign = mark[0]
            if sign == b"\\":
                position += 1 if in_string else 0
            elif sign == b'"':
                in_string = not in_string
            elif in_string:
                continue
            elif sign in b"{[":
                if depth == 0:
                    start, too_long = mark.start(), False
                depth += 1
            elif depth:
                depth -= 1
                if depth == 0:
                    yield None if too_long or position - start > MAX_LINE else buffer[start:position]
                    start = -1
        position = max(position, len(buffer))
        keep = start if start >= 0 and not too_long else len(buffer)
        if len(buffer) - keep > MAX_LINE:
            too_long, keep = True, len(buffer)
        escaped = position - len(buffer)  # an escape at the end of the block
        buffer, position, start = buffer[keep:], len(buffer) - keep + escaped, 0 if start >= 0 else -1
        more = file.block(len(buffer))
        if not more:
            if start >= 0:
                yield None
            return
        buffer += more


def package(name: str, path: Path) -> Any:
    """Import a package that only some files need.

    Raises:
        ConfigError: it isn't installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as cause:
        raise ConfigError(
            f"{path} can't be read or written without the package {name.partition('.')[0]!r}",
            "Install it: pip install 'eef-framework[datasets]'",
            code="package-missing",
            package=name.partition(".")[0],
            path=str(path),
        ) from cause
