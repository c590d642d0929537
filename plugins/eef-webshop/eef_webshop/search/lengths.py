"""Lucene's encoding of a document's length in one byte (`SmallFloat.intToByte4`).

Lengths below 40 are exact; of higher ones, only the four highest bits of the excess over 24 are kept. BM25 uses the
decoded length, so documents of similar length count as equally long.
"""

from __future__ import annotations

_EXACT = 24
"""Number of lengths that are encoded as themselves, before the floating-point part."""


def encode_length(length: int) -> int:
    """Return the encoding of a length, 0 to 255.

    Raises:
        ValueError: the length is negative, or above Java's largest int.
    """
    if not 0 <= length < 1 << 31:
        raise ValueError(f"expected a length from 0 to {(1 << 31) - 1}, got {length}")
    if length < _EXACT:
        return length
    rest = length - _EXACT
    shift = max(rest.bit_length() - 4, 0)
    if rest < 16:
        return _EXACT + (rest if rest < 8 else 8 + (rest & 7))
    return _EXACT + ((shift + 1) << 3 | (rest >> shift & 7))


def decode_length(byte: int) -> int:
    """Return the lowest length with an encoding."""
    if byte < _EXACT:
        return byte
    rest = byte - _EXACT
    shift = (rest >> 3) - 1
    return _EXACT + (rest & 7 if shift < 0 else (rest & 7 | 8) << shift)
