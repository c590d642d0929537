"""Reads the rows of JSON and JSON Lines. Memory holds one row at a time, and a row has a maximum length."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from eef_framework.errors import storage
from eef_framework.formats.found_rows import BadRow, FoundRow, Report
from eef_framework.runs.contents import looks_like
from eef_framework.runs.lines import FREE_BYTES, GZIP, MAX_LINE, MAX_RATIO

_BLOCK = 1 << 20
_MARKS = re.compile(rb'["\\{}\[\]]')


def read_json_rows(path: Path, start: bytes, report: Report) -> Iterator[FoundRow]:
    """Yield the objects of a text: one a line, in a JSON array, or one over several lines; also the samples of a log.

    Args:
        path: the file, plain or gzip-compressed.
        start: its first bytes.
        report: called with each row that can't be read.

    Raises:
        StorageError: the file can't be read.
    """
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
