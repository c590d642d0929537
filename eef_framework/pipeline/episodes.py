"""What phases that play have in common: many episodes at once, and their files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from eef_framework.errors import EnvironmentFailure
from eef_framework.records import Trajectory

T = TypeVar("T")

MOST_ERRORS = 0.2
"""Share of episodes lost to the infrastructure above which a phase's outcome means nothing."""


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all. When one fails, the rest is cancelled before its error goes on."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


def latest(rows: Iterable[Trajectory], key: Callable[[Trajectory], str]) -> dict[str, Trajectory]:
    """Return the last row of each key: one that was played again after an error replaces the earlier one."""
    return {key(row): row for row in rows}


def in_order(rows: Iterable[Trajectory]) -> list[Trajectory]:
    """Return the rows without replaced ones, by id: an order that doesn't depend on which was finished first."""
    return sorted(latest(rows, key=lambda row: row.id).values(), key=lambda row: row.id)


def with_others(found: Sequence[Trajectory], rows: Iterable[Trajectory]) -> list[Trajectory]:
    """Return episodes, followed by those of other tasks: what was paid for once isn't thrown away."""
    tasks = {row.task.id for row in found}
    return [*found, *in_order(row for row in rows if row.task.id not in tasks)]


def check_errors(rows: Sequence[Trajectory]) -> None:
    """Refuse to go on where too many episodes were lost.

    Raises:
        EnvironmentFailure: too many ended in an error.
    """
    failed = [row for row in in_order(rows) if row.ending == "error"]
    if len(failed) > MOST_ERRORS * len(rows):
        raise EnvironmentFailure(
            f"{len(failed)} of {len(rows)} episodes were lost to failures, the first ({failed[0].id}) to: "
            f"{failed[0].error}",
            "Fix the cause and run the command again: lost episodes are played again.",
            code="episodes-lost",
            lost=len(failed),
            episodes=len(rows),
        )
