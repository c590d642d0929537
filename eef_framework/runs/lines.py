"""Reads files line by line: plain or gzip-compressed, with or without a byte order mark, with either line end."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from eef_framework.errors import CorruptFile, storage

GZIP = b"\x1f\x8b"

MAX_LINE = 256 << 20
"""Maximum length of a line, in bytes."""
MAX_RATIO = 200
"""Maximum expansion factor of a compressed file, beyond `FREE_BYTES`. JSON reaches 50."""
FREE_BYTES = 256 << 20


class Line(NamedTuple):
    """One line of a file."""

    number: int
    """Line number, starting at 1."""
    start: int
    """Byte offset in the (decompressed) file."""
    data: bytes
    """Without a byte order mark, with its line end."""
    ended: bool
    """Whether it has a line end; only the last line may lack one."""


def is_compressed(path: Path) -> bool:
    """Return whether a file is gzip-compressed, regardless of its name."""
    with storage(path, "reading"), path.open("rb") as file:
        return file.read(2) == GZIP


def read_whole(path: Path) -> bytes:
    """Read a file of moderate size, decompressed, without a byte order mark.

    Raises:
        CorruptFile: as for `read_lines`.
        StorageError: the file can't be read.
    """
    return b"".join(line.data for line in read_lines(path))


def read_lines(path: Path) -> Iterator[Line]:
    """Read a file line by line.

    Raises:
        CorruptFile: a compressed file is truncated or damaged (`corrupt-gzip`), expands too much
            (`decompression-bomb`), or a line is longer than any record (`line-too-long`).
        StorageError: the file can't be read.
    """
    compressed = is_compressed(path)
    bound = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    start = number = 0
    with storage(path, "reading"), gzip.open(path) if compressed else path.open("rb") as file:
        while True:
            try:
                raw = file.readline(MAX_LINE + 1)
            except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
                raise CorruptFile(
                    f"{path} is compressed, and damaged or truncated after line {number}: {cause}",
                    "Copy or download it again.",
                    code="corrupt-gzip",
                    path=str(path),
                    line=number,
                ) from cause
            if not raw:
                return
            number += 1
            if len(raw) > MAX_LINE:
                raise CorruptFile(
                    f"{path}, line {number} is longer than {MAX_LINE >> 20} MB: this isn't a file of records",
                    code="line-too-long",
                    path=str(path),
                    line=number,
                )
            if compressed and start > bound:
                raise CorruptFile(
                    f"{path} is {path.stat().st_size:,} bytes long and holds more than {bound:,}",
                    "If it is what you expect, decompress it with gunzip first.",
                    code="decompression-bomb",
                    path=str(path),
                )
            # Files that were joined have marks in the middle, too.
            yield Line(number, start, raw.removeprefix(codecs.BOM_UTF8), raw.endswith(b"\n"))
            start += len(raw)
