"""Lucene's encoding of a document's length in one byte (`SmallFloat.intToByte4`).

Lengths below 40 are exact; above that, only the four highest bits of what exceeds 24 are kept. BM25 sees the decoded
length, so that documents of nearly the same length count as equally long.
"""

from __future__ import annotations

_EXACT = 24
"""Lengths that get a byte each, ahead of the floating point part."""


def encode_length(length: int) -> int:
    """Return the byte, 0 to 255, of a length.

    Raises:
        ValueError: the length is negative, or above Java's largest int.
    """
    if not 0 <= length < 1 << 31:
        raise ValueError(f"a length is expected to be from 0 to {(1 << 31) - 1}, not {length}")
    if length < _EXACT:
        return length
    rest = length - _EXACT
    shift = max(rest.bit_length() - 4, 0)
    if rest < 16:
        return _EXACT + (rest if rest < 8 else 8 + (rest & 7))
    return _EXACT + ((shift + 1) << 3 | (rest >> shift & 7))


def decode_length(byte: int) -> int:
    """Return the smallest length that the byte stands for."""
    if byte < _EXACT:
        return byte
    rest = byte - _EXACT
    shift = (rest >> 3) - 1
    return _EXACT + (rest & 7 if shift < 0 else (rest & 7 | 8) << shift)
