"""Reads large JSON files entry by entry: the official files contain one array or object of up to 5 GB."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eef_framework.errors import CorruptFile, storage

CHUNK = 1 << 22
"""Number of bytes read at a time."""
MAX_ENTRY_LENGTH = 1 << 26
"""Maximum length of an entry in characters. A longer entry means that the file is broken."""

_SPACE = " \t\r\n"
_NUMBER_TAIL = len("e+")


class JsonStream:
    """One pass over a JSON file whose top level is an array or an object, plain or compressed with gzip.

    Args:
        path: the file; one ending in `.gz` is decompressed.
        progress: called with the number of bytes of the file that were read since the last call.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] = lambda count: None) -> None:
        self.path = path
        self.entries = 0
        """Number of entries read so far."""
        self.size = 0
        """Number of decompressed bytes read so far."""
        self._progress = progress
        self._digest = hashlib.sha256()
        self._chunks = self._read()
        self._text, self._at, self._ended = "", 0, False

    @property
    def sha256(self) -> str:
        """SHA-256 of the decompressed content that was read so far."""
        return self._digest.hexdigest()

    def items(self) -> Iterator[Any]:
        """Yield the items of a file that contains an array.

        Raises:
            CorruptFile: the file isn't a JSON array, or is truncated; the message has the position.
            StorageError: it can't be read.
        """
        yield from self._between("[", "]", self._value)

    def members(self) -> Iterator[tuple[str, Any]]:
        """Yield the keys and values of a file that contains an object.

        Raises:
            CorruptFile: the file isn't a JSON object, or is truncated; the message has the position.
            StorageError: it can't be read.
        """
        yield from self._between("{", "}", self._member)

    def _between(self, start: str, end: str, entry: Callable[[], Any]) -> Iterator[Any]:
        self._expect(start)
        if self._peek() != end:
            while True:
                yield entry()
                self.entries += 1
                if self._peek() != ",":
                    break
                self._at += 1
        self._expect(end)
        if self._peek():
            raise self._broken("there is something after the end of the JSON")

    def _member(self) -> tuple[str, Any]:
        if self._peek() != '"':
            raise self._broken(f"expected a key in quotes, found {self._peek()!r}")
        key = self._value()
        self._expect(":")
        return key, self._value()

    def _expect(self, sign: str) -> None:
        found = self._peek()
        if found != sign:
            raise self._broken(f"expected {sign!r}, found {repr(found) if found else 'the end of the file'}")
        self._at += 1

    def _peek(self) -> str:
        """Return the next character that isn't white space, without consuming it; empty at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _value(self) -> Any:
        """Decode the next value, reading more text until it is complete."""
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as cause:
                problem = f"{cause.msg} (about {cause.pos - self._at:,} characters into the entry)"
            except RecursionError:
                problem = "it is nested too deeply"
            else:
                # A number near the end of the text may continue in the next chunk: `1.5e+` would be decoded as 1.5.
                if end + _NUMBER_TAIL < len(self._text) or not self._more():
                    self._at = end
                    return value
                continue
            if len(self._text) - self._at > MAX_ENTRY_LENGTH or not self._more():
                raise self._broken(problem)

    def _more(self) -> bool:
        """Replace the consumed text by the next chunk; return whether there was one."""
        chunk = next(self._chunks, "")
        if not chunk:
            return False
        self._text, self._at = self._text[self._at :] + chunk, 0
        return True

    def _read(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        with storage(self.path, "reading"), self.path.open("rb") as file:
            try:
                yield from self._decoded(file, decoder)
            except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
                raise self._broken(f"the compressed data are damaged or truncated: {cause}") from cause
            except UnicodeDecodeError as cause:
                raise self._broken(f"it is not UTF-8: {cause.reason}") from cause

    def _decoded(self, file: io.BufferedReader, decoder: codecs.IncrementalDecoder) -> Iterator[str]:
        content = gzip.GzipFile(fileobj=file) if self.path.suffix == ".gz" else file
        passed = 0
        while chunk := content.read(CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)
            self._progress(file.tell() - passed)
            passed = file.tell()
            if text := decoder.decode(chunk):
                yield text
        decoder.decode(b"", final=True)

    def _broken(self, problem: str) -> CorruptFile:
        return CorruptFile(
            f"{str(self.path)!r} is broken at entry {self.entries + 1:,} (first {self.size:,} bytes): {problem}",
            "Download the file again (`eef webshop download`), and compare its size with the original's.",
            code="broken-json",
            path=str(self.path),
            entry=self.entries + 1,
            bytes=self.size,
            problem=problem,
        )


_DECODER = json.JSONDecoder()
