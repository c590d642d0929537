"""Controls: verdicts without evidence. A strategy has to be better than these."""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from eef_attribution.interval import IntervalAttributor
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Segment, StateValue, Trajectory, Verdict
from eef_framework.seeds import derive


class _Control(Attributor):
    """Gives verdicts without looking. It can play the same simulations as `interval`, so that only verdicts differ."""

    simulations: int = Field(default=0, ge=0)
    """Number of simulations from each of the states that `interval` probes. The verdicts don't depend on them, but
    solutions are selected from them."""
    probes: int = Field(default=5, gt=0)
    """Number of intermediate states to simulate from, if any."""

    def planned_simulations(self, length: int) -> dict[int, int]:
        """Return the number of simulations per state."""
        states = IntervalAttributor(probes=self.probes).states(length) if self.simulations else ()
        return dict.fromkeys(states, self.simulations)

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Simulate, and give verdicts whatever comes of it. If all simulations are lost, nothing is known."""
        length = len(trajectory.steps)
        plan = self.planned_simulations(length)
        found = await asyncio.gather(*(simulate(state, n) for state, n in plan.items()))
        return self.verdicts(trajectory) if length and (not plan or any(found)) else ()

    @abstractmethod
    def verdicts(self, trajectory: Trajectory) -> Iterable[Segment]:
        """Return the verdicts."""


class NoneAttributor(_Control):
    """No action is known to help or harm."""

    name: ClassVar[str] = "none"

    def verdicts(self, trajectory: Trajectory) -> Iterable[Segment]:
        """Return that everything is unknown."""
        return ()


class AllAttributor(_Control):
    """Every action is beneficial, also one that harmed: all before a state that the agent succeeds from are learned."""

    name: ClassVar[str] = "all"

    def verdicts(self, trajectory: Trajectory) -> Iterable[Segment]:
        """Return that everything is beneficial."""
        return (Segment(start=0, end=len(trajectory.steps), verdict=Verdict.BENEFICIAL),)


class RandomAttributor(_Control):
    """Each action is beneficial, harmful or neutral by chance."""

    name: ClassVar[str] = "random"

    beneficial: float = Field(default=0.1, ge=0.0, le=1.0)
    """Chance that an action is called beneficial."""
    harmful: float = Field(default=0.1, ge=0.0, le=1.0)
    """Chance that an action is called harmful. What the two leave of 1 is the chance of neutral."""
    seed: int = 0
    """Another seed gives other verdicts; the trajectory's id is a part of it."""

    @model_validator(mode="after")
    def _chances_leave_room_for_each_other(self) -> Self:
        if self.beneficial + self.harmful > 1.0 + 1e-9:  # 0.7 + 0.2 + 0.1 isn't 1 in floating point
            raise PydanticCustomError(
                "chances-above-one",
                "beneficial is {beneficial} and harmful is {harmful}; an action has one verdict, so their sum must be "
                "at most 1: lower one of them",
                {"beneficial": self.beneficial, "harmful": self.harmful},
            )
        return self

    def verdicts(self, trajectory: Trajectory) -> Iterable[Segment]:
        """Return a random verdict for each action."""
        draw = random.Random(derive(self.seed, "verdicts", trajectory.id))
        for k in range(len(trajectory.steps)):
            drawn = draw.random()
            harmful = drawn < self.beneficial + self.harmful
            verdict = Verdict.BENEFICIAL if drawn < self.beneficial else Verdict.HARMFUL if harmful else Verdict.NEUTRAL
            yield Segment(start=k, end=k + 1, verdict=verdict)
