"""The task's own score: which actions changed it?"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar, Literal

from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Segment, StateValue, Trajectory, Verdict


class ScoreAttributor(Attributor):
    """An action that raises the task's score is beneficial, one that lowers it harmful, any other neutral.

    No model is asked and nothing is simulated. It works where the environment scores progress, as ScienceWorld and
    TextWorld do. Where only the last action earns anything, all actions are unknown.
    """

    name: ClassVar[str] = "score"

    rewards: Literal["gains", "totals"] = "gains"
    """What the environment's rewards of single steps are: what a step gained (TextWorld), or the score after it
    (ScienceWorld)."""

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Read the changes of the score from the trajectory."""
        rewards = [step.reward for step in trajectory.steps]
        gains = rewards if self.rewards == "gains" else [after - before for before, after in pairwise([0.0, *rewards])]
        if not any(gains[:-1]):
            why = "no action before the last one changed the task's score"
            return [Segment(start=0, end=len(gains), verdict=Verdict.UNKNOWN, reason=why)] if gains else ()
        return [
            Segment(
                start=k,
                end=k + 1,
                verdict=Verdict.BENEFICIAL if gain > 0 else Verdict.HARMFUL if gain < 0 else Verdict.NEUTRAL,
                credit=max(-1.0, min(1.0, gain)),
                reason=f"score {gain:+g}",
            )
            for k, gain in enumerate(gains)
        ]

    def planned_simulations(self, length: int) -> dict[int, int]:
        """Return that nothing is simulated."""
        return {}
