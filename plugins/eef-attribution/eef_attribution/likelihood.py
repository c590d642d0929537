"""How probable the expert's actions are for the agent."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import ClassVar

from pydantic import Field

from eef_attribution.scores import Score, ScoringAttributor
from eef_framework.records import Trajectory


class LikelihoodAttributor(ScoringAttributor):
    """An action that the agent would hardly take is beneficial, one that it takes anyway is neutral.

    The policy's own probability as a signal for credit: EMPG (arXiv 2509.09265). Nothing is simulated.
    """

    name: ClassVar[str] = "likelihood"

    threshold: float = Field(default=0.1, ge=0.0, le=1.0)
    """Probability below which an action is one that the agent would hardly take."""

    def actions(self, trajectory: Trajectory, state: int) -> Sequence[str]:
        """Return the action that was taken."""
        return [trajectory.steps[state].action]

    def score(self, logprobs: Sequence[float]) -> Score:
        """Compare its probability with the threshold."""
        probability = exp(logprobs[0])
        return Score(probability < self.threshold, f"the agent takes it with probability {probability:.2g}")
