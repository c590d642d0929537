"""Whoever finds out which of an expert's actions helped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from eef_framework.interfaces.component import Component
from eef_framework.records import Attribution, Trajectory


class Simulate(Protocol):
    """The right to try: lets the current agent go on from a state of the trajectory under attribution."""

    async def __call__(self, state: int, n: int = 1) -> Sequence[Trajectory]:
        """Return n simulations from a state; asking again returns the same ones.

        Args:
            state: number of expert actions before it; 0 is the task's initial state.
            n: how many simulations, in all, are wanted from this state.

        Returns:
            Whole trajectories, replayed prefix included. Those lost to an infrastructure failure are left out, so
            there may be fewer than n.
        """

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Tell whether a trajectory is a success under the run's rule."""


class Attributor(Component):
    """A strategy that divides an expert trajectory into beneficial, harmful and neutral segments.

    Many trajectories are attributed at once, each in a coroutine of its own: wait with `await` only. Await several
    simulations together (`asyncio.gather`) where they don't depend on one another.
    """

    @abstractmethod
    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
        """Return the verdicts on one expert trajectory, with the probes they rest on."""

    def planned(self, length: int) -> dict[int, int] | None:
        """Return how many simulations from which states a trajectory of this length will take.

        Lets a run be planned before it starts, and a baseline be given as many simulations as this strategy takes.

        Returns:
            State -> number of simulations; None where it isn't known beforehand.
        """
        return None
