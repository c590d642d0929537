"""Threads for blocking steps: bounded; timed from the start of work; abandoned when they hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from eef_framework.event_loop import Slots
from eef_framework.resources import available_cores

T = TypeVar("T")

AT_ONCE = min(32, available_cores() + 4)
"""Maximum number of concurrent calls."""


class StepThreads:
    """A pool of threads for blocking calls. Time spent waiting for a thread doesn't count towards a call's timeout.

    A call that takes too long keeps its thread, and another thread replaces it: a hanging call blocks neither the
    waiting calls nor, as the threads are daemons, the exit of the process.

    Args:
        at_once: maximum number of concurrent calls.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._turns = Slots(at_once)
        self._idle: list[WorkerThread] = []

    async def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function in a thread.

        Args:
            function: the function to call.
            timeout_s: time limit, counted from its start.

        Raises:
            TimeoutError: it took longer.
        """
        async with self._turns:
            worker = self._idle.pop() if self._idle else WorkerThread()
            future = worker.begin(partial(copy_context().run, function))
            try:
                async with asyncio.timeout(timeout_s):
                    return await asyncio.wrap_future(future)
            finally:
                if future.done():
                    self._idle.append(worker)
                else:
                    worker.end()

    def __del__(self) -> None:
        for worker in self._idle:
            worker.end()


class WorkerThread:
    """A daemon thread that makes calls one at a time.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str = "eef-step") -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def begin(self, function: Callable[[], T]) -> Future[T]:
        """Make a call as soon as the previous one is done."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # from here on the caller may stop waiting, and the call continues
        self._calls.put((function, future))
        return future

    def end(self) -> None:
        """End the thread after its last call."""
        self._calls.put(None)

    def _work(self) -> None:
        while call := self._calls.get():
            function, future = call
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            del call, function, future  # don't keep it alive until the next call
