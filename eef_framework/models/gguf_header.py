"""Reads the header of GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), without their weights."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

from eef_framework._compat.gguf import block_sizes

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of a metadata value -> its size in bytes."""
_STRING, _ARRAY = 8, 9


def required_size(path: Path) -> int:
    """Return the size that a GGUF file must have to hold all its weights, in bytes.

    Takes a fraction of a second; `gguf.GGUFReader` takes several seconds if the vocabulary is large.

    Raises:
        EOFError: the header itself is truncated or damaged.
    """
    with path.open("rb") as file:
        return _Header(file).required_size()


class _Header:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, file.seek(0, 2)
        file.seek(0)
        _, version = self._unpack("<4sI")
        self._order = "<" if version & 0xFFFF else ">"  # files in big-endian order exist, too

    def required_size(self) -> int:
        """Return the minimum size of the file, in bytes: to the end of its last tensor.

        Raises:
            EOFError: the header itself is truncated or damaged.
        """
        tensors, entries = self._integers("QQ")
        alignment = 32
        for _ in range(entries):
            key = self._string()
            (kind,) = self._integers("I")
            if key == b"general.alignment" and kind == 4:
                (alignment,) = self._integers("I")
            else:
                self._skip_value(kind)
        ends = self._ends_of_tensors(tensors)
        start = math.ceil(self._file.tell() / alignment) * alignment
        return start + max(ends) if ends else self._file.tell()

    def _ends_of_tensors(self, count: int) -> list[int]:
        """Return where the data of each tensor ends, relative to the start of all data."""
        sizes, ends = block_sizes(), []
        for _ in range(count):
            self._string()
            (dimensions,) = self._integers("I")
            shape = self._integers(f"{dimensions}Q")
            kind, offset = self._integers("IQ")
            block, size = sizes.get(kind, (1, 0))  # the size of types that the library doesn't know isn't checked
            ends.append(offset + math.prod(shape) // block * size)
        return ends

    def _skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            inner, count = self._integers("IQ")
            if inner in _SIZES:
                self._read(_SIZES[inner] * count)
            else:
                for _ in range(count):
                    self._skip_value(inner)
        elif kind in _SIZES:
            self._read(_SIZES[kind])
        else:
            raise EOFError(f"the header has a value of unknown type {kind}")

    def _string(self) -> bytes:
        (length,) = self._integers("Q")
        return self._read(length)

    def _integers(self, form: str) -> tuple[int, ...]:
        return self._unpack(self._order + form)

    def _unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self._read(struct.calcsize(form)))

    def _read(self, size: int) -> bytes:
        if self._file.tell() + size > self._size:
            raise EOFError(f"the header ends after {self._size:,} bytes")
        return self._file.read(size)
