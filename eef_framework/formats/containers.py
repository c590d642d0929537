"""Reads rows from files: JSON Lines, JSON, Parquet, folders of datasets, logs of inspect_ai; plain or gzip-compressed.

What can't be read is reported with file, row and reason, and everything else is read. Memory holds one row at a time,
and a row has a maximum length.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eef_framework.errors import ConfigError, CorruptFile, storage
from eef_framework.formats.found_rows import BadRow, FoundRow, Report
from eef_framework.formats.json_rows import read_json_rows
from eef_framework.runs import FILES
from eef_framework.runs.lines import MAX_LINE

_ZSTD = 93
"""zip's number of this compression, which Python's zipfile has from 3.14 on."""
_DATA_FILES = ("*.parquet", "*.jsonl", "*.jsonl.gz", "*.json", "*.json.gz", "*.eval", "*.arrow")
TRACES = "traces.jsonl"
"""The file of episodes in a run's folder of verifiers, which also has configurations in JSON."""
TEXT_COLUMNS = ("eef", "extra", "metadata", "scores", "unfinished")
"""Columns of tables that hold JSON as text, because their fields differ from row to row."""


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
        yield from read_json_rows(path, start, report)


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
