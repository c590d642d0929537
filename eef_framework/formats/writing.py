"""Writes rows to a new file: JSON Lines, JSON, Parquet, a log of inspect_ai, or a folder."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from eef_framework.errors import ConfigError
from eef_framework.formats.containers import TEXT_COLUMNS, TRACES, package
from eef_framework.formats.inspect_log import header_of
from eef_framework.runs.atomic import new_folder, replacing

Row = dict[str, Any]
_LISTS = ("conversations", "messages", "prompt", "completion", "chosen", "rejected", "steps", "input_ids", "labels")
"""Columns of tables that are lists as such, because programs expect them so."""
_KINDS = {"inspect": ("eval", "json"), "verifiers": ("lines", "json", "folder")}
"""Format -> kinds of files that its programs read, where not all are."""


def check_new(out: Path, format: str) -> None:
    """Check that nothing would be replaced, and that a container can hold a format.

    Raises:
        ConfigError: something exists there (`output-exists`), or the format has no such file (`wrong-container`).
    """
    if out.exists() or out.is_symlink():
        raise ConfigError(
            f"{str(out)!r} exists already, and isn't replaced",
            "Choose another name, or remove it.",
            code="output-exists",
            path=str(out),
        )
    kind = container_of(out)
    own = format in ("trajectories", "examples")
    kinds = ("lines",) if own else _KINDS.get(format, ("lines", "json", "parquet", "folder"))
    if kind not in kinds:
        expected = "*.jsonl or *.jsonl.gz" if own else "*.eval or *.json" if format == "inspect" else "*.jsonl"
        raise ConfigError(
            f"{format!r} can't be written as {out.name!r}",
            f"Name a file such as {expected}.",
            code="wrong-container",
            format=format,
            path=str(out),
        )


def container_of(out: Path) -> str:
    """Return how rows are written to a file of this name: `lines`, `json`, `parquet`, `eval`, or `folder`.

    Raises:
        ConfigError: the name has another ending (`unknown-ending`).
    """
    name = out.name.removesuffix(".gz").lower()
    for ending, kind in ((".jsonl", "lines"), (".json", "json"), (".parquet", "parquet"), (".eval", "eval")):
        if name.endswith(ending):
            return kind
    if not out.suffix:
        return "folder"
    raise ConfigError(
        f"files with the ending {out.suffix!r} can't be written ({out.name!r})",
        "Choose .jsonl or .json (both also with .gz), .parquet or .eval, or a folder's name without an ending.",
        code="unknown-ending",
        path=str(out),
    )


def write_container(out: Path, rows: Iterable[Row], format: str) -> int:
    """Write rows to a new file or folder, atomically, and return their number.

    Raises:
        StorageError: the disk is full.
        ConfigError: a package for it isn't installed.
    """
    counted = _Counted(rows)
    kind = container_of(out)
    if kind == "lines":
        compact = (",", ":") if format in ("trajectories", "examples") else None
        with _text(out) as file:
            file.writelines(_encoded(row, separators=compact) + b"\n" for row in counted)
    elif kind == "json" or kind == "eval":
        _write_json(out, counted) if format != "inspect" else _write_inspect(out, counted, packed=kind == "eval")
    elif kind == "parquet":
        _write_parquet(out, counted)
    elif format == "atif":
        _write_files(out, counted)
    elif format == "verifiers":
        _write_run(out, counted)
    else:
        _write_dataset(out, counted)
    return counted.number


def _encoded(row: Any, indent: int | None = None, separators: tuple[str, str] | None = None) -> bytes:
    text = json.dumps(row, ensure_ascii=False, indent=indent, separators=separators)
    return text.encode("utf-8", "backslashreplace")


class _Counted:
    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows, self.number = rows, 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            self.number += 1
            yield row


@contextmanager
def _text(out: Path) -> Iterator[IO[bytes]]:
    with replacing(out) as raw:
        if out.name.endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                yield packed  # type: ignore[misc] # a GzipFile has the methods of a binary file
        else:
            yield raw


def _write_json(out: Path, rows: Iterable[Row]) -> None:
    with _text(out) as file:
        file.write(b"[")
        for number, row in enumerate(rows):
            file.write((b",\n" if number else b"\n") + _encoded(row, indent=1))
        file.write(b"\n]\n")


def _write_dataset(out: Path, rows: Iterable[Row]) -> None:
    datasets = package("datasets", out)
    table = _table(rows, out)
    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with new_folder(out) as folder:
            datasets.Dataset(table).save_to_disk(str(folder))
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def _write_files(out: Path, rows: Iterable[Row]) -> None:
    """Write each row to a file of its own, as Harbor does with trajectories."""
    with new_folder(out) as folder:
        for number, row in enumerate(rows):
            (folder / f"trajectory-{number:05}.json").write_bytes(_encoded(row, indent=1))


def _write_run(out: Path, rows: Iterable[Row]) -> None:
    """Write rows to the only file that verifiers reads from a folder."""
    with new_folder(out) as folder, (folder / TRACES).open("wb") as file:
        file.writelines(_encoded(row) + b"\n" for row in rows)


def _write_inspect(out: Path, rows: Iterable[Row], packed: bool) -> None:
    epochs: Counter[str] = Counter()
    samples, models = [], Counter[str]()
    for row in rows:
        epochs[row["id"]] += 1
        samples.append({**row, "epoch": epochs[row["id"]]})
        models[row["output"]["model"]] += 1
    header = header_of(len(samples), next((name for name, _ in models.most_common(1)), ""))
    if not packed:
        with _text(out) as file:
            file.write(_encoded({**header, "samples": samples}, indent=1))
        return
    with replacing(out) as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, data: Any) -> None:
            archive.writestr(zipfile.ZipInfo(name), _encoded(data), zipfile.ZIP_DEFLATED)

        add("_journal/start.json", {"version": header["version"], "eval": header["eval"], "plan": header["plan"]})
        for sample in samples:
            add(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
        keys = ("id", "epoch", "input", "target", "scores")
        add("summaries.json", [{key: sample[key] for key in keys if key in sample} for sample in samples])
        add("header.json", header)


def _write_parquet(out: Path, rows: Iterable[Row]) -> None:
    parquet = package("pyarrow.parquet", out)
    table = _table(rows, out)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    with replacing(out) as file:
        file.write(buffer.getbuffer())


def _table(rows: Iterable[Row], out: Path) -> Any:
    """Return rows as a table. What differs from row to row in its fields becomes JSON text."""
    pyarrow = package("pyarrow", out)
    columns: dict[str, list[Any]] = {}
    for count, row in enumerate(rows):
        for key, value in row.items():
            columns.setdefault(key, [None] * count).append(_cell(key, value))
        for values in columns.values():
            values.extend([None] * (count + 1 - len(values)))
    arrays: dict[str, Any] = {}
    for key, values in columns.items():
        try:
            arrays[key] = pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
            arrays[key] = pyarrow.array([None if value is None else json.dumps(value) for value in values])
    return pyarrow.table(arrays)


def _cell(key: str, value: Any) -> Any:
    scalar = value is None or isinstance(value, str | int | float)
    return value if key in _LISTS or (scalar and key not in TEXT_COLUMNS) else json.dumps(value, ensure_ascii=False)
