"""Collects concurrent requests of many coroutines into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from eef_framework.errors import EefError, PolicyFailure

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Lets coroutines await work that is done in batches, in a separate thread.

    Args:
        work: processes a batch, in place.
        split: splits the waiting items into batches.
    """

    def __init__(self, work: Callable[[list[Item]], None], split: Callable[[list[Item]], list[list[Item]]]) -> None:
        self._work = work
        self._split = split
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="policy")

    async def do(self, item: Item) -> None:
        """Return when the item's batch is done.

        Raises:
            PolicyFailure: the work failed for this batch, or the batcher is closed.
        """
        if self._closed:
            raise PolicyFailure("the policy is closed", "Load the checkpoint again.", code="closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self._worker is None or self._worker.done() or self._worker.get_loop() is not loop:
            self._waiting = []  # items left by another event loop are no longer awaited
            self._worker = loop.create_task(self._serve())
        self._waiting.append((item, future))
        await future

    def close(self) -> None:
        """Stop the thread and wait for it: until then it holds the resources of the work. May be called twice."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _serve(self) -> None:
        """Process batches until nothing is waiting."""
        while self._waiting:
            await self._wait_for_more()
            waiting, self._waiting = self._waiting, []
            futures = {id(item): future for item, future in waiting if not future.done()}
            for batch in self._split([item for item, future in waiting if not future.done()]):
                await self._run(batch, [futures[id(item)] for item in batch])

    async def _wait_for_more(self) -> None:
        """Wait until all coroutines that can run have run, and no more items arrive."""
        before = -1
        while before < len(self._waiting):
            before = len(self._waiting)
            for _ in range(3):
                await asyncio.sleep(0)

    async def _run(self, batch: list[Item], futures: Sequence[asyncio.Future[None]]) -> None:
        failure: EefError | None = None
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._work, batch)
        except EefError as error:
            failure = error
        except Exception as error:
            failure = PolicyFailure(
                f"the model failed on a batch of {len(batch)}: {type(error).__name__}: {error}",
                code="model-failed",
                cause=type(error).__name__,
            )
            failure.__cause__ = error
        for future in futures:
            if not future.done():  # cancelled meanwhile
                future.set_exception(failure) if failure else future.set_result(None)
