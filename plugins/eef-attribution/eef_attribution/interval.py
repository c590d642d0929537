"""The attribution of the paper: simulate from states at equal distances, and compare neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from eef_attribution.comparing import SimulatingAttributor
from eef_framework.interfaces import Simulate
from eef_framework.records import Segment, StateValue, Trajectory


class IntervalAttributor(SimulatingAttributor):
    """Probes M states at equal distances and compares neighbours (arXiv 2504.13145, phases 2 and 3).

    The distance is `max(1, floor(length / (M + 1)))` actions. The probed states are the first M multiples of it that
    leave an action to take, and the initial state, whose simulations the run shares with plain exploration.
    """

    name: ClassVar[str] = "interval"

    probes: int = Field(default=5, gt=0)
    """Number of intermediate states to probe (M in the paper). Short trajectories have at most length - 1."""

    def states(self, length: int) -> tuple[int, ...]:
        """Return the states to simulate from, the initial one included, for a trajectory of a number of actions."""
        distance = max(1, length // (self.probes + 1))
        return tuple(range(0, length, distance))[: self.probes + 1]

    def planned_simulations(self, length: int) -> dict[int, int] | None:
        """Return the number of simulations per state that a trajectory of this length needs."""
        if self.prior != "none":
            return None
        return dict.fromkeys(self.states(length), self.simulations)

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory takes, from any states."""
        return self.simulations * len(self.states(length))

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Simulate from all states at once, then judge the actions between neighbours."""
        length = len(trajectory.steps)
        return self.compared(await self.outcomes(trajectory, self.states(length), simulate), length)
