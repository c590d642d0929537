"""Finds an attributor's calls of `simulate` that it forgot to await: a coroutine is true, whatever the outcome."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Response, State, Trajectory

T = TypeVar("T")


@dataclass(frozen=True)
class _Call:
    """A call whose coroutine the attributor got.

    Attributes:
        name: what was called, such as `simulate.score`.
        coroutine: not started before it is awaited.
        where: file and line of the call.
    """

    name: str
    coroutine: Coroutine[Any, Any, Any]
    where: str


class AwaitedSimulate(Simulate):
    """Passes calls on to another `simulate`, and knows which of them were never awaited.

    Args:
        simulate: what plays and scores.
    """

    def __init__(self, simulate: Simulate) -> None:
        self._simulate = simulate
        self._calls: list[_Call] = []

    def __call__(self, state: int | State, n: int = 1) -> Coroutine[Any, Any, Sequence[Trajectory]]:
        """Return n simulations from a state."""
        return self._noted("simulate", self._simulate(state, n))

    def score(
        self, state: int | State, actions: Sequence[str], thought: str = ""
    ) -> Coroutine[Any, Any, Sequence[Response]]:
        """Return the answers by which the agent would take actions in a state, with their log-probabilities."""
        return self._noted("simulate.score", self._simulate.score(state, actions, thought))

    def success_rate(self, state: int | State, n: int = 1) -> Coroutine[Any, Any, float | None]:
        """Return the fraction of n simulations from a state that succeed."""
        return self._noted("simulate.success_rate", self._simulate.success_rate(state, n))

    def episodes(self) -> Coroutine[Any, Any, Sequence[Trajectory]]:
        """Return the recorded episodes of the trajectory's task."""
        return self._noted("simulate.episodes", self._simulate.episodes())

    def charge(self, response: Response) -> None:
        """Count an answer that the attributor requested itself in the costs."""
        self._simulate.charge(response)

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Return whether a trajectory is a success."""
        return self._simulate.succeeded(trajectory)

    def require_awaited(self, attributor: Attributor) -> None:
        """Reject verdicts that were given before the result of a call could be known.

        Args:
            attributor: the attributor that has returned its verdicts.

        Raises:
            AttributorFailure: a call wasn't awaited (`not-awaited`).
        """
        calls, self._calls = self._calls, []
        unstarted = [call for call in calls if inspect.getcoroutinestate(call.coroutine) == inspect.CORO_CREATED]
        if not unstarted:
            return
        tasks = {task.get_coro(): task for task in asyncio.all_tasks()}
        for call in unstarted:
            if call.coroutine not in tasks:
                call.coroutine.close()  # the error replaces Python's warning
        cancelled = {coroutine for coroutine, task in tasks.items() if task.cancelling()}
        forgotten = [call for call in unstarted if call.coroutine not in cancelled]
        if forgotten:
            first = forgotten[0]
            raise AttributorFailure(
                f"attributor {attributor.component_name()!r} didn't await the result of {first.name}() ({first.where})",
                f"Write `await {first.name}(...)`, or `await asyncio.gather(...)` for several calls at once.",
                code="not-awaited",
                call=first.name,
                where=first.where,
                calls=len(forgotten),
            )

    def _noted(self, name: str, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        if inspect.iscoroutine(coroutine):  # another Simulate may return a future, which starts by itself
            caller = sys._getframe(2)
            where = f"{caller.f_code.co_filename}, line {caller.f_lineno}"
            self._calls.append(_Call(name, coroutine, where))
        return coroutine
