"""BM25 as computed by Lucene with Anserini's parameters, in single precision as there.

score = sum over terms of w - w / (1 + s),  w = boost * ln(1 + (N - df + 0.5) / (df + 0.5)),
s = tf / (k1 * (1 - b + b * length / average length)); `s` is called saturation here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eef_webshop.search.lengths import decode_length

K1 = np.float32(0.9)
B = np.float32(0.4)
"""Anserini's defaults."""

Array = np.ndarray[Any, Any]
_ONE = np.float32(1)


def saturation(pairs: Array, statistics: Array) -> Array:
    """Return the saturation of every pair of frequency and length.

    Args:
        pairs: (C, 2) int32, frequencies and encoded lengths.
        statistics: (3,) numbers of documents, of non-empty documents, and of terms with repetitions.

    Returns:
        (C,) float32.
    """
    _, filled, total = (int(value) for value in statistics)
    average = np.float32(total / max(filled, 1)) or _ONE
    lengths = np.array([decode_length(byte) for byte in range(256)], dtype=np.float32)
    per_length = _ONE / (K1 * ((_ONE - B) + B * lengths / average))
    return pairs[:, 0].astype(np.float32) * per_length[pairs[:, 1]]


def weight(boost: int, documents: int, frequency: int) -> np.float32:
    """Return a term's weight.

    Args:
        boost: number of occurrences in the query.
        documents: number of non-empty documents.
        frequency: number of documents with this term.
    """
    return np.float32(boost) * np.float32(math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5)))


def scores(weight: np.float32, saturations: Any) -> Any:
    """Return the contributions of a term to the scores of documents, float32.

    Args:
        weight: the term's weight.
        saturations: the term's saturation in each document.
    """
    return weight - weight / (_ONE + saturations)
