"""Builds an index of any number of documents in bounded memory: blocks are sorted, spilled to disk and merged.

The files of an index are NumPy arrays, which are memory-mapped (D documents, T terms, P postings):

    lengths         (D,)    uint8       length of each document, as Lucene encodes it
    word_text       (bytes) uint8       all terms in UTF-8, in order, without separators
    word_ends       (T,)    int64       exclusive end of each
    word_terms      (T,)    int32       number of each term in the arrays below
    term_starts     (T+1,)  int64       start of each term's postings
    term_bounds     (T,)    float32     its highest saturation, from which the upper bound of its score follows
    posting_docs    (P,)    int32       documents with the term, in order
    posting_codes   (P,)    uint16/32   index of its pair of frequency and length
    pairs           (C, 2)  int32       those pairs: frequency, encoded length
    statistics      (3,)    int64       numbers of documents, of non-empty documents, of terms with repetitions
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eef_webshop.search.analysis import analyse
from eef_webshop.search.bm25 import saturation
from eef_webshop.search.lengths import encode_length

Array = np.ndarray[Any, Any]

BLOCK = 6_000_000
"""Number of postings that are sorted at a time, which takes about 250 MB."""
MAX_FREQUENCY = 0xFFFF
"""Higher frequencies of a term in a document are reduced to this."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The counted terms of a batch of documents. Numbers are local to the batch."""

    words: list[str]
    """The distinct terms, by number."""
    docs: Array
    """(n,) int32: the document of each posting, ascending."""
    terms: Array
    """(n,) int32: the term of each posting."""
    counts: Array
    """(n,) int32: the frequency of each posting."""
    lengths: Array
    """(documents,) int64: number of terms of each document, with repetitions."""


def count(texts: Iterable[str]) -> Counted:
    """Analyse documents and count their terms."""
    numbers: dict[str, int] = {}
    tokens: list[int] = []
    ends = [0]
    for text in texts:
        tokens.extend([numbers.setdefault(term, len(numbers)) for term in analyse(text)])
        ends.append(len(tokens))
    lengths: Array = np.diff(np.array(ends, dtype=np.int64))
    docs = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    keys, counts = np.unique(docs << 32 | np.array(tokens, dtype=np.int64), return_counts=True)
    return Counted(
        words=list(numbers),
        docs=(keys >> 32).astype(np.int32),
        terms=(keys & 0xFFFFFFFF).astype(np.int32),
        counts=counts.astype(np.int32),
        lengths=lengths,
    )


@dataclass
class IndexBuilder:
    """Collects counted documents in order and writes the index.

    Args:
        folder: an existing folder for the index, and for temporary files.
        block: number of postings that are sorted at a time.
    """

    folder: Path
    block: int = BLOCK
    _numbers: dict[str, int] = field(default_factory=dict)
    _lengths: list[Array] = field(default_factory=list)
    _documents: int = 0
    _filled: int = 0
    _total: int = 0
    _pending: list[tuple[Array, Array, Array]] = field(default_factory=list)
    _waiting: int = 0
    _runs: int = 0
    _pairs: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def add(self, batch: Counted) -> None:
        """Add the next documents."""
        numbers, lengths = self._numbers, batch.lengths
        known = np.array([numbers.setdefault(word, len(numbers)) for word in batch.words], dtype=np.int32)
        encoded = np.array([encode_length(int(length)) for length in lengths], dtype=np.uint8)
        counts = np.minimum(batch.counts, MAX_FREQUENCY)
        pairs = counts.astype(np.int64) << 8 | encoded[batch.docs]
        self._pairs = np.union1d(self._pairs, pairs)
        self._pending.append((known[batch.terms], batch.docs + np.int32(self._documents), counts.astype(np.uint16)))
        self._lengths.append(encoded)
        self._documents += len(lengths)
        self._filled += int(np.count_nonzero(lengths))
        self._total += int(lengths.sum())
        self._waiting += len(counts)
        if self._waiting >= self.block:
            self._spill()

    def finish(self) -> None:
        """Merge the blocks and write the files."""
        self._spill()
        self._numbers, words = {}, list(self._numbers)
        lengths = np.concatenate([np.empty(0, dtype=np.uint8), *self._lengths])
        statistics = np.array([self._documents, self._filled, self._total], dtype=np.int64)
        pairs = np.stack([self._pairs >> 8, self._pairs & 0xFF], axis=1).astype(np.int32)
        self._save("lengths", lengths)
        self._save("statistics", statistics)
        self._save("pairs", pairs)
        self._write_words(words)
        self._merge(len(words), lengths, saturation(pairs, statistics))

    def _spill(self) -> None:
        """Sort the pending postings by term and document, and write them to a block."""
        if not self._pending:
            return
        terms, docs, counts = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
        self._pending, self._waiting = [], 0
        order = np.argsort(terms, kind="stable")
        found, sizes = np.unique(terms, return_counts=True)
        for name, values in (("terms", found), ("sizes", sizes), ("docs", docs[order]), ("counts", counts[order])):
            self._save(f"run{self._runs}_{name}", values)
        self._runs += 1

    def _merge(self, terms: int, lengths: Array, saturations: Array) -> None:
        """Concatenate the blocks' postings of each term, so that documents stay in order."""
        starts = self._starts(terms)
        bounds = np.zeros(terms, dtype=np.float32)
        code_type = np.uint16 if len(self._pairs) <= 1 << 16 else np.uint32
        docs_out = self._create("posting_docs", int(starts[-1]), np.int32)
        codes_out = self._create("posting_codes", int(starts[-1]), code_type)
        filled = starts[:-1].copy()
        for run in range(self._runs):
            found, sizes, docs, counts = (
                self._pop(f"run{run}_{name}") for name in ("terms", "sizes", "docs", "counts")
            )
            codes = np.searchsorted(self._pairs, counts.astype(np.int64) << 8 | lengths[docs])
            begins = np.cumsum(sizes) - sizes
            to = np.repeat(filled[found] - begins, sizes) + np.arange(len(docs))
            docs_out[to] = docs
            codes_out[to] = codes
            filled[found] += sizes
            bounds[found] = np.maximum(bounds[found], np.maximum.reduceat(saturations[codes], begins))
        docs_out.flush()
        codes_out.flush()
        self._save("term_starts", starts)
        self._save("term_bounds", bounds)

    def _starts(self, terms: int) -> Array:
        sizes = np.zeros(terms, dtype=np.int64)
        for run in range(self._runs):
            sizes[np.load(self._path(f"run{run}_terms"))] += np.load(self._path(f"run{run}_sizes"))
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])

    def _write_words(self, words: Sequence[str]) -> None:
        encoded = [word.encode("utf-8", "surrogatepass") for word in words]
        order = sorted(range(len(words)), key=encoded.__getitem__)
        self._save("word_terms", np.array(order, dtype=np.int32))
        self._save("word_ends", np.cumsum([len(encoded[term]) for term in order], dtype=np.int64))
        self._save("word_text", np.frombuffer(b"".join(encoded[term] for term in order), dtype=np.uint8))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _save(self, name: str, values: Array) -> None:
        np.save(self._path(name), values)

    def _pop(self, name: str) -> Array:
        """Load an array and remove its file."""
        values: Array = np.load(self._path(name))
        self._path(name).unlink()
        return values

    def _create(self, name: str, size: int, kind: Any) -> Any:
        """Return a writable memory map of a new file. NumPy can't map empty arrays, so they get one unused element."""
        return np.lib.format.open_memmap(self._path(name), mode="w+", dtype=kind, shape=(max(size, 1),))
