"""Runs many coroutines concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
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
