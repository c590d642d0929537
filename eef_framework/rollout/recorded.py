"""Simulations that were played before, for attributing once more without an agent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Simulate
from eef_framework.records import SuccessRule, Trajectory


class Recorded:
    """Answers requests for simulations from a recording.

    Args:
        simulations: what was played.
        rule: what a success is.
    """

    def __init__(self, simulations: Sequence[Trajectory], rule: SuccessRule) -> None:
        self.rule = rule
        self._of: dict[tuple[str, int], list[Trajectory]] = defaultdict(list)
        for simulation in simulations:
            self._of[_start(simulation)].append(simulation)

    def of(self, trajectory: Trajectory) -> Simulate:
        """Return what an attributor is given for one trajectory."""
        return _Simulate(self, trajectory)

    def find(self, trajectory: Trajectory, state: int, n: int) -> Sequence[Trajectory]:
        """Return n simulations from a state of a trajectory; those that ended in an error are left out.

        Raises:
            AttributorFailure: fewer were recorded.
        """
        found = self._of[trajectory.id if state else trajectory.task.id, state]
        if len(found) < n:
            raise AttributorFailure(
                f"{n} simulations from state {state} of {trajectory.id!r} are needed, {len(found)} were recorded",
                "Attribute with the settings the simulations were made with, or explore again.",
            )
        return [simulation for simulation in found[:n] if simulation.ending != "error"]


class _Simulate:
    def __init__(self, recorded: Recorded, trajectory: Trajectory) -> None:
        self._recorded = recorded
        self._trajectory = trajectory

    async def __call__(self, state: int, n: int = 1) -> Sequence[Trajectory]:
        return self._recorded.find(self._trajectory, state, n)

    def succeeded(self, trajectory: Trajectory) -> bool:
        return self._recorded.rule.holds(trajectory)


def _start(simulation: Trajectory) -> tuple[str, int]:
    if simulation.origin is None:
        return simulation.task.id, 0
    return simulation.origin.trajectory, simulation.origin.state
