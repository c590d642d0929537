"""Values of states from recorded episodes: no simulation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field

from eef_attribution.comparing import ComparingAttributor
from eef_attribution.evidence import Decide, Outcome
from eef_attribution.visits import visitors_of
from eef_framework.interfaces import Simulate
from eef_framework.records import Segment, StateValue, Trajectory, Verdict


class AnchorAttributor(ComparingAttributor):
    """A state is worth the mean outcome of the recorded episodes of its task that came by.

    The anchor states of GiGPO (arXiv 2505.10978): states of all episodes with equal observations are one.
    It looks at the agent's episodes from the initial state, so it knows only states that the agent reaches by itself.
    That an episode came by an equal state after more actions, and has fewer left, isn't taken into account.
    """

    name: ClassVar[str] = "anchor"

    decide: Decide = "gap"
    """How outcomes are compared."""
    gap: float = Field(default=0.2, ge=0.0, lt=1.0)
    """For `gap`: the largest difference of two success rates that counts as none."""
    minimum: int = Field(default=2, gt=0)
    """Number of episodes that a state needs for a value. States with fewer are passed over."""
    similarity: float = Field(default=1.0, gt=0.0, le=1.0)
    """1: observations have to be equal. Below: the least share of matching characters; slow for long observations."""
    episodes: Literal["agent", "all"] = "agent"
    """`all`: demonstrations count, too, the one under attribution included."""

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Compare the states that enough episodes came by."""
        found = await visitors_of(trajectory, simulate, self.similarity, self.episodes == "all")
        outcomes = {
            state: Outcome(len(episodes), len(episodes), sum(map(simulate.succeeded, episodes)))
            for state, episodes in found.items()
            if len(episodes) >= self.minimum
        }
        length = len(trajectory.steps)
        if not outcomes:
            why = f"no state was reached by {self.minimum} recorded episodes (explore.simulations plays them)"
            return [Segment(start=0, end=length, verdict=Verdict.UNKNOWN, reason=why)]
        return self.compared(outcomes, length)

    def planned_simulations(self, length: int) -> dict[int, int]:
        """Return that nothing is simulated."""
        return {}
