"""The attribution of the paper: simulate from states at equal distances, and compare neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Self

from pydantic import Field, model_validator

from eef_attribution.evidence import Decide, Outcome, fisher, judge
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Segment, Trajectory, Verdict


class IntervalAttributor(Attributor):
    """Probes M states at equal distances and compares neighbours (arXiv 2504.13145, phases 2 and 3).

    The distance is `max(1, floor(length / (M + 1)))` actions. The probed states are the first M multiples of it that
    leave an action to take, and the initial state, whose simulations the run shares with plain exploration.
    """

    name: ClassVar[str] = "interval"

    probes: int = Field(default=5, gt=0)
    """Number of intermediate states to probe (M in the paper). Short trajectories have at most length - 1."""
    simulations: int = Field(default=1, gt=0)
    """Number of simulations from each probed state."""
    decide: Decide = "any"
    """With several simulations, when the agent counts as able to solve a state: when `any` of them succeeds, or the
    `majority`. `significant` compares the success rates of neighbours instead, and abstains if chance could explain the
    difference."""
    alpha: float = Field(default=0.05, gt=0.0, lt=1.0)
    """For `significant`: level of the test (Fisher's exact test, two-sided)."""

    @model_validator(mode="after")
    def _can_be_significant(self) -> Self:
        clearest = fisher(0, self.simulations, self.simulations, self.simulations)
        if self.decide == "significant" and clearest > self.alpha:
            raise ValueError(
                f"no difference is significant at alpha {self.alpha} with {self.simulations} simulations from each "
                f"state: 0 against {self.simulations} successes has p = {clearest:.2g}; raise simulations, or alpha"
            )
        return self

    def states(self, length: int) -> tuple[int, ...]:
        """Return the states to simulate from, the initial one included, for a trajectory of a number of actions."""
        distance = max(1, length // (self.probes + 1))
        return tuple(range(0, length, distance))[: self.probes + 1]

    def planned_simulations(self, length: int) -> dict[int, int]:
        """Return the number of simulations per state that a trajectory of this length needs."""
        return dict.fromkeys(self.states(length), self.simulations)

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment]:
        """Simulate from all states at once, then judge the actions between neighbours.

        If lost simulations could have changed the verdict, it is unknown, as it is after the last probe.
        """
        states = self.states(len(trajectory.steps))
        found = await asyncio.gather(*(simulate(state, self.simulations) for state in states))
        outcomes = {state: self._outcome(runs, simulate) for state, runs in zip(states, found, strict=True)}
        segments = [self._segment(before, after, outcomes) for before, after in pairwise(states)]
        if states:
            tail = f"no state after state {states[-1]} was probed"
            end = len(trajectory.steps)
            segments.append(Segment(start=states[-1], end=end, verdict=Verdict.UNKNOWN, reason=tail))
        return segments

    def _segment(self, before: int, after: int, outcomes: Mapping[int, Outcome]) -> Segment:
        here, there = outcomes[before], outcomes[after]
        return Segment(
            start=before,
            end=after,
            verdict=judge(here, there, self.decide, self.alpha),
            reason=f"agent: {here} from state {before}, {there} from state {after}",
        )

    def _outcome(self, runs: Sequence[Trajectory], simulate: Simulate) -> Outcome:
        return Outcome(self.simulations, len(runs), sum(map(simulate.succeeded, runs)))
