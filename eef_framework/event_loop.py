"""One event loop for all coroutines of a run, also where a loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class EventLoop:
    """Runs coroutines one at a time in the same event loop. Between them, the loop is paused.

    If the calling thread already runs a loop (as in a notebook cell), the coroutine runs in another thread, and the
    caller waits.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. If it fails or is interrupted, all tasks it left running are cancelled."""
        if self._runner is None:
            # With a factory, the runner leaves the thread's own loop (a notebook's) where it is.
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        try:
            if _loop_is_running():
                return _in_thread(self._runner, coroutine)
            return self._runner.run(coroutine, context=copy_context())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancel what is left, and close the loop. The next coroutine gets a new one."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        if _loop_is_running():
            _call_in_thread(runner.close)
        else:
            runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Slots:
    """Limits the number of concurrent coroutines; use it as an async context manager.

    A semaphore belongs to one event loop. This works with several loops, in sequence or in parallel, and limits the
    coroutines of each loop.

    Args:
        most: maximum number of concurrent coroutines.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def __aenter__(self) -> None:
        await self._semaphore().acquire()

    async def __aexit__(self, *exception: object) -> None:
        self._semaphore().release()

    def _semaphore(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if loop not in self._semaphores:
            self._semaphores[loop] = asyncio.Semaphore(self._most)
        return self._semaphores[loop]


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a single coroutine to its end, in a new event loop."""
    with EventLoop() as loop:
        return loop.run(coroutine)


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(runner: asyncio.Runner, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run in a thread; an interrupt of the waiting thread cancels the coroutine first."""
    loop, context = runner.get_loop(), copy_context()
    future, thread = _start(lambda: runner.run(coroutine, context=context))
    try:
        return future.result()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(_cancel_tasks, loop)
        thread.join()
        raise


def _call_in_thread(function: Callable[[], None]) -> None:
    _start(function)[0].result()


def _start(function: Callable[[], T]) -> tuple[Future[T], Thread]:
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    thread = Thread(target=work, name="eef-event-loop", daemon=True)
    thread.start()
    return future, thread


def _cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
