"""Detects the type of a file by its content, not by its name."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from eef_framework.errors import CorruptFile, storage
from eef_framework.records import SCHEMA_VERSION, Attribution, Example, Trajectory
from eef_framework.records.base import VersionedRecord
from eef_framework.runs.lines import read_lines

KINDS: tuple[type[VersionedRecord], ...] = (Trajectory, Attribution, Example)
"""Kinds of records that files can contain."""


def plural(record: type[VersionedRecord]) -> str:
    """Return the plural name of a kind of records: `trajectories`."""
    name = record.__name__.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


class Contents(NamedTuple):
    """Numbers of records by kind in a file."""

    counts: Counter[type[VersionedRecord]]
    """Number of lines that are records, by kind."""
    bad: int
    """Number of lines that aren't records, excluding blank ones."""
    newer: int
    """How many of these a newer version wrote."""
    failed: int
    """Number of records of work that failed, and may succeed another time: lost episodes, and failed attributions."""

    @property
    def kind(self) -> type[VersionedRecord] | None:
        """The most frequent kind of record; None if no line is a record."""
        return max(self.counts, key=self.counts.__getitem__) if self.counts else None


def contents(path: Path, most: int | None = None) -> Contents:
    """Classify the lines of a file (or the first `most` of them).

    Raises:
        StorageError: the file can't be read.
    """
    counts: Counter[type[VersionedRecord]] = Counter()
    bad = newer = failed = 0
    try:
        for line in islice(read_lines(path), most):
            if line.data.strip():
                record = _record(line.data, counts)
                if record:
                    counts[type(record)] += 1
                    failed += _is_failed(record)
                else:
                    bad += 1
                    newer += is_newer(line.data)
    except CorruptFile:  # damaged after this line
        bad += 1
    return Contents(counts, bad, newer, failed)


def _record(line: bytes, known: Counter[type[VersionedRecord]]) -> VersionedRecord | None:
    for kind in [*known, *(kind for kind in KINDS if kind not in known)]:
        try:
            return kind.model_validate_json(line)
        except ValidationError:
            continue
    return None


def _is_failed(record: VersionedRecord) -> bool:
    return record.lost if isinstance(record, Trajectory) else isinstance(record, Attribution) and bool(record.error)


def shape(line: bytes) -> type[VersionedRecord] | None:
    """Return the record type that has the fields of a line, regardless of their values."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    for kind in KINDS:
        required = {name for name, field in kind.model_fields.items() if field.is_required()}
        if isinstance(row, dict) and required <= row.keys() <= kind.model_fields.keys():
            return kind
    return None


def is_newer(line: bytes) -> bool:
    """Return whether a line is a record written by a newer version."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    version = row.get("version") if isinstance(row, dict) else None
    return isinstance(version, int) and version > SCHEMA_VERSION


_DECOMPRESS = "Decompress it first; files that end in .gz are read as they are."
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip-compressed file", "Look into it with gunzip -c."),
    (b"PK\x03\x04", "a zip archive, or a file that is one inside (.xlsx, .docx, .npz, .whl)", _DECOMPRESS),
    (b"\x28\xb5\x2f\xfd", "a file compressed with zstd", _DECOMPRESS),
    (b"\xfd7zXZ\0", "a file compressed with xz", _DECOMPRESS),
    (b"BZh", "a file compressed with bzip2", _DECOMPRESS),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _DECOMPRESS),
    (b"PAR1", "a Parquet file", "Write its rows as JSON, one a line."),
    (b"ARROW1", "an Arrow file", "Write its rows as JSON, one a line."),
    (b"SQLite format 3\0", "a SQLite database", ""),
    (b"%PDF", "a PDF document", ""),
    (b"\x89PNG", "an image", ""),
    (b"GGUF", "a model (GGUF)", "Name it with policy.model."),
    (b"version https://git-lfs", "a pointer of Git LFS, without the file's content", "Run: git lfs pull"),
    (b"\xff\xfe\0\0", "text in UTF-32", "Convert it: iconv -f UTF-32 -t UTF-8 FILE > NEW"),
    (b"\xff\xfe", "text in UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    (b"\xfe\xff", "text in UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
)


_CONVERTED = ({"messages"}, {"conversation"}, {"conversations"}, {"prompt", "completion"}, {"chosen", "rejected"})
"""Keys of rows of other libraries, which `eef convert` reads."""


class Likeness(NamedTuple):
    """Guessed format of a file without records."""

    what: str
    """Such as `a zip archive`."""
    advice: str
    """How to extract its content; may be empty."""


def looks_like(path: Path) -> Likeness:
    """Guess the format of a file without records.

    Raises:
        StorageError: it can't be read.
    """
    with storage(path, "reading"), path.open("rb") as file:
        start = file.read(1 << 16)
    if not start:
        return Likeness("an empty file", "")
    if known := marked(start):
        return known
    if b"\0" in start:
        halves = start[:200:2].count(0), start[1:200:2].count(0)
        utf16 = max(halves) > 40 and min(halves) == 0
        utf16_advice = "Convert it: iconv -f UTF-16LE -t UTF-8 FILE > NEW"
        return Likeness("text in UTF-16", utf16_advice) if utf16 else Likeness("binary data", "")
    return _text(start)


def marked(start: bytes) -> Likeness | None:
    """Return the format of a file with the magic bytes of another format."""
    return next((Likeness(what, advice) for magic, what, advice in _MAGIC if start.startswith(magic)), None)


def _text(start: bytes) -> Likeness:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)  # the last character may be truncated
    except UnicodeDecodeError:
        return Likeness("text that isn't in UTF-8, or binary data", "")
    if "\r" in text and "\n" not in text:
        return Likeness("text whose lines end with a carriage return alone", "Convert it: tr '\\r' '\\n' < FILE > NEW")
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if text.lstrip().startswith("["):
        return Likeness("a JSON array", "Write one record a line: jq -c '.[]' FILE > NEW")
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        if first.startswith("{") and len(text.split()) > len(first.split()):
            return Likeness("one JSON document over several lines", "Write one record a line: jq -c . FILE > NEW")
        if first.startswith("<"):
            return Likeness("a web page or XML", "")
        return Likeness(f"text that begins {first[:60]!r}" if first else "nothing but blank lines", "")
    if isinstance(row, dict):
        keys = ", ".join(map(repr, list(row)[:6]))
        what = f"JSON lines of another kind, with the keys {keys}" if keys else "JSON lines without keys"
        converted = any(known <= row.keys() for known in _CONVERTED)
        advice = "Convert it: eef convert FILE NEW.jsonl --to examples (or --to trajectories)" if converted else ""
        return Likeness(what, advice)
    return Likeness(f"lines of JSON values such as {first[:60]!r}", "")
