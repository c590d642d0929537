"""Attributor: finds out which actions of a trajectory helped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from eef_framework.interfaces.component import Component
from eef_framework.records import Segment, State, StateValue, Trajectory


class Simulate(Protocol):
    """Lets the current agent play from states, of the trajectory under attribution or of any other episode."""

    async def __call__(self, state: int | State, n: int = 1) -> Sequence[Trajectory]:
        """Return n simulations from a state; asking again returns the same ones.

        Args:
            state: a number of actions of the trajectory under attribution (0 is the task's initial state), or any
                state: `episode.at(3)`, or `trajectory.at(3).after("click[back]")` for one that nobody has been in.
            n: how many simulations, in all, are wanted from this state.

        Returns:
            Whole trajectories, replayed prefix included. Those lost to an infrastructure failure are left out, so
            there may be fewer than n.

        Raises:
            IndexError: the trajectory has no such state, or it is its last one.
        """

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Tell whether a trajectory is a success under the run's rule."""

    async def episodes(self) -> Sequence[Trajectory]:
        """Return the recorded episodes of this task: its demonstrations, and the agent's from its initial state.

        Always the same ones in the same order, whatever is played at the same time. Episodes that were lost to an
        infrastructure failure are left out.
        """


class Attributor(Component):
    """Divides a trajectory into beneficial, harmful and neutral segments.

    Many trajectories are attributed at once, each in a coroutine of its own: wait with `await` only. Await several
    simulations together (`asyncio.gather`) where they don't depend on one another. Which simulations were asked for,
    and what came of them, is recorded by the framework.
    """

    @abstractmethod
    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Return verdicts on the actions of a trajectory; actions that no segment covers are unknown.

        Args:
            trajectory: an episode of the expert, or of the agent.
            simulate: plays the current agent from its states.

        Returns:
            Segments in any order, without overlap. Values of states may be among them, for the record.
        """

    def planned_simulations(self, length: int) -> dict[int, int] | None:
        """Return how many simulations from which states a trajectory of this length will take.

        Lets `--dry-run` say how long a run will be. What was really spent is counted while it is played.

        Returns:
            State -> number of simulations; None where it isn't known beforehand.
        """
        return None
