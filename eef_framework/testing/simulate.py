"""Simulations without an agent, for attributors: their outcomes are written down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from eef_framework.records import Observation, Step, Task, Trajectory

Outcome = Callable[[int, int], bool | None]
"""(state, index of the simulation) -> whether it succeeds; None where it is lost to the infrastructure."""


def demonstration(length: int) -> Trajectory:
    """Return an expert trajectory with this many actions, made up."""
    steps = tuple(Step(action=f"go[{k}]", observation=Observation(text=f"room {k + 1}")) for k in range(length))
    return Trajectory(
        id=f"expert/made-up/{length}",
        task=Task(id=f"made-up-{length}", environment="made-up"),
        actor="expert/made-up",
        initial=Observation(text="room 0"),
        steps=steps,
    )


class ScriptedSimulate:
    """The right to try from the states of a trajectory, with outcomes that are known beforehand.

    Args:
        trajectory: whose states they are.
        outcome: what comes of each simulation.
        seed: for how long each call waits, which should never matter.

    Attributes:
        asked: (state, n) of every call, in order.
        given: every trajectory that was returned, by id.
    """

    def __init__(self, trajectory: Trajectory, outcome: Outcome, seed: int = 0) -> None:
        self.trajectory = trajectory
        self.asked: list[tuple[int, int]] = []
        self.given: dict[str, Trajectory] = {}
        self._outcome = outcome
        self._draw = random.Random(seed)

    async def __call__(self, state: int, n: int = 1) -> Sequence[Trajectory]:
        """Return the simulations from a state, after a while."""
        length = len(self.trajectory.steps)
        if not 0 <= state < max(length, 1):
            raise IndexError(f"simulations set out from states 0 to {length - 1} of this trajectory, not from {state}")
        self.asked.append((state, n))
        for _ in range(self._draw.randrange(6)):
            await asyncio.sleep(0)
        outcomes = ((index, self._outcome(state, index)) for index in range(n))
        found = [self._simulation(state, index, won) for index, won in outcomes if won is not None]
        self.given |= {trajectory.id: trajectory for trajectory in found}
        return found

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Tell whether it was written down as a success."""
        return trajectory.reward == 1.0

    def _simulation(self, state: int, index: int, won: bool) -> Trajectory:
        changes = {"id": f"{self.trajectory.id}/s{state}/{index}", "actor": "agent/made-up", "reward": float(won)}
        return self.trajectory.model_copy(update={**changes, "steps": self.trajectory.steps[:state]})
