"""Simulations on demand: every one is played once, recorded, and shared by all who ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from eef_framework.interfaces import Simulate
from eef_framework.records import SuccessRule, Task, Trajectory
from eef_framework.rollout.episode import Player
from eef_framework.rollout.ids import simulation_id
from eef_framework.runs import RowFile
from eef_framework.seeds import derive


class Simulations(Protocol):
    """Where simulations come from: played now, or recorded."""

    rule: SuccessRule

    def of(self, trajectory: Trajectory) -> Simulate:
        """Return what an attributor is given: the right to try from the states of one trajectory."""


class Simulator:
    """Plays the current agent from any state of any demonstration.

    Args:
        player: who plays.
        rows: where simulations are recorded; those already in it aren't played again.
        phase: first part of the ids, such as `eef/1`.
        seed: the phase's seed. Which simulation is asked for first doesn't matter to any of them.
        rule: what a success is.
        played: called whenever one is finished.
    """

    def __init__(
        self,
        player: Player,
        rows: RowFile[Trajectory],
        phase: str,
        seed: int,
        rule: SuccessRule,
        played: Callable[[Trajectory], None] = lambda trajectory: None,
    ) -> None:
        self._player = player
        self._rows = rows
        self._phase = phase
        self._seed = seed
        self.rule = rule
        self._played = played
        # What failed for reasons of the infrastructure is owed again.
        self._known = {row.id: row for row in rows.rows if row.ending != "error"}
        self._under_way: dict[str, asyncio.Task[Trajectory]] = {}

    async def initial(self, task: Task, n: int) -> Sequence[Trajectory]:
        """Return n episodes from a task's initial state."""
        return await self._several(task, None, 0, n)

    def of(self, trajectory: Trajectory) -> Simulate:
        """Return what an attributor is given: the right to try from the states of one trajectory."""
        return _Simulate(self, trajectory)

    async def _several(self, task: Task, source: Trajectory | None, state: int, n: int) -> Sequence[Trajectory]:
        found = await asyncio.gather(*(self._one(task, source, state, index) for index in range(n)))
        return tuple(trajectory for trajectory in found if trajectory.ending != "error")

    async def _one(self, task: Task, source: Trajectory | None, state: int, index: int) -> Trajectory:
        start = source.id if source else task.id
        key = simulation_id(self._phase, start, state, index)
        if key in self._known:
            return self._known[key]
        if key not in self._under_way:
            self._under_way[key] = asyncio.create_task(
                self._play(key, task, source, state, derive(self._seed, start, state, index))
            )
        return await self._under_way[key]

    async def _play(self, key: str, task: Task, source: Trajectory | None, state: int, seed: int) -> Trajectory:
        trajectory = await self._player.play(task, key, seed, source, state)
        self._rows.append(trajectory)
        self._known[key] = trajectory
        self._played(trajectory)
        return trajectory


class _Simulate:
    def __init__(self, simulator: Simulator, trajectory: Trajectory) -> None:
        self._simulator = simulator
        self._trajectory = trajectory

    async def __call__(self, state: int, n: int = 1) -> Sequence[Trajectory]:
        length = len(self._trajectory.steps)
        if not 0 <= state < max(length, 1):
            raise IndexError(f"simulations set out from states 0 to {length - 1} of this trajectory, not from {state}")
        source = self._trajectory if state else None
        return await self._simulator._several(self._trajectory.task, source, state, n)

    def succeeded(self, trajectory: Trajectory) -> bool:
        return self._simulator.rule.holds(trajectory)
