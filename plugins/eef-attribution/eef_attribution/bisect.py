"""Binary search for the actions that changed the agent's chances."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from eef_attribution.comparing import SimulatingAttributor
from eef_attribution.evidence import CLAIMS, compare
from eef_framework.interfaces import Simulate
from eef_framework.records import Segment, StateValue, Trajectory
from eef_framework.seeds import derive


class BisectAttributor(SimulatingAttributor):
    """Halves the actions between two states that differ, until one action is left.

    Binary search for the first error of a solution (OmegaPRM, arXiv 2406.06592), and for pivotal tokens
    (arXiv 2412.08905), applied to actions. It costs about log2(length) states for each change. Between
    two states with equal outcomes it doesn't look: two changes that cancel are only found if an audit lies between.
    """

    name: ClassVar[str] = "bisect"

    simulations: int = Field(default=4, gt=0)
    """Number of simulations from each state; with `decide: sprt`, the most that are used."""
    audits: int = Field(default=4, ge=0)
    """Number of states that are always simulated from besides the first and the last: a random one of each of as many
    equal parts."""

    def states(self, trajectory: Trajectory) -> list[int]:
        """Return the states that are simulated from in any case; the random ones depend on the trajectory's id."""
        last = len(trajectory.steps) - 1
        draw = random.Random(derive(0, "audits", trajectory.id))
        bounds = [1 + k * (last - 1) // (self.audits or 1) for k in range(self.audits + 1)]
        audits = {draw.randrange(low, high) for low, high in pairwise(bounds) if low < high}
        return sorted({0, last} | audits) if last >= 0 else []

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory takes, from any states."""
        return self.simulations * length

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Simulate from the ends and the audited states; then halve what lies between states that differ."""
        outcomes = await self.outcomes(trajectory, self.states(trajectory), simulate)
        while middles := [
            (start + end) // 2
            for start, end in pairwise(sorted(outcomes))
            if end - start > 1 and compare(outcomes[start], outcomes[end], self.rule) in CLAIMS
        ]:
            outcomes |= await self.outcomes(trajectory, middles, simulate)
        return self.compared(outcomes, len(trajectory.steps))
