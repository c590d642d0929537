"""Work on batches in several processes, in order and with a bounded number of batches in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from eef_framework.resources import available_cores, available_memory

Batch = TypeVar("Batch")
Result = TypeVar("Result")

SMALL_FILE = 20_000_000
"""Bytes of a file that is not worth starting processes for."""
WORKER_BYTES = 400 << 20
"""Memory to reckon with for a process that tags: spaCy with its model, and the batches in flight."""
AHEAD = 3
"""Batches in flight for every process."""


def default_jobs(path: Path) -> int:
    """Return how many processes a file is worth: one if it is small, else as many as cores and memory suffice for."""
    if path.stat().st_size < SMALL_FILE:
        return 1
    return max(1, min(available_cores(), available_memory() // WORKER_BYTES))


def in_order(work: Callable[[Batch], Result], batches: Iterable[Batch], jobs: int) -> Iterator[Result]:
    """Yield the result of every batch, in the batches' order.

    Args:
        work: a function of a module, so that other processes can import it.
        batches: read only as fast as results are taken.
        jobs: processes; with 1, the work is done in this one.
    """
    if jobs <= 1:
        yield from map(work, batches)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) >= AHEAD * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
