"""Runs many coroutines concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def as_they_end(coroutines: Iterable[Coroutine[Any, Any, T]]) -> AsyncIterator[T]:
    """Start all and yield each result as it arrives. If one fails, or the consumer stops, the rest is cancelled."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def merged(
    iterators: Iterable[AsyncIterator[T]], lasts: Callable[[BaseException], bool] = lambda error: False
) -> AsyncIterator[T]:
    """Yield the items of several iterators as they arrive.

    Args:
        iterators: the iterators. If one fails, or the consumer stops, the others are cancelled.
        lasts: whether an error is raised only when the others have ended.
    """
    arrived: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()

    async def forward(iterator: AsyncIterator[T]) -> None:
        try:
            async for item in iterator:
                arrived.put_nowait((item,))
        except Exception as error:
            arrived.put_nowait(error)
        else:
            arrived.put_nowait(None)

    tasks = [asyncio.create_task(forward(iterator)) for iterator in iterators]
    postponed: BaseException | None = None
    try:
        left = len(tasks)
        while left:
            found = await arrived.get()
            if isinstance(found, tuple):
                yield found[0]
                continue
            left -= 1
            if found is not None and not lasts(found):
                raise found
            postponed = postponed or found
        if postponed is not None:
            raise postponed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
