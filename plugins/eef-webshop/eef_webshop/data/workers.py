"""Processes batches in parallel, in order and with a bounded number of batches in memory."""

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
"""Size in bytes below which processes aren't worth their start-up time."""
WORKER_BYTES = 400 << 20
"""Memory budget of a worker, in bytes: spaCy with its model, and pending batches."""
MAX_PENDING = 3
"""Maximum number of pending batches per process."""


def default_jobs(path: Path) -> int:
    """Return the number of processes for a file: one if it is small, otherwise as many as cores and memory allow."""
    if path.stat().st_size < SMALL_FILE:
        return 1
    return max(1, min(available_cores(), available_memory() // WORKER_BYTES))


def map_in_order(work: Callable[[Batch], Result], batches: Iterable[Batch], jobs: int) -> Iterator[Result]:
    """Yield the result of every batch, in the batches' order.

    Args:
        work: a module-level function, which other processes can import.
        batches: read only as fast as results are consumed.
        jobs: number of processes; with 1, the work is done in this process.
    """
    if jobs <= 1:
        yield from map(work, batches)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) >= MAX_PENDING * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
