"""How uncertain the agent is where the expert acted."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log
from typing import ClassVar

from pydantic import Field

from eef_attribution.scores import Score, ScoringAttributor
from eef_framework.records import Trajectory


class EntropyAttributor(ScoringAttributor):
    """An action is beneficial where the agent is uncertain what to do, and neutral where it is certain.

    The entropy of the policy as a signal for credit: EMPG (arXiv 2509.09265), there over tokens, here over the
    admissible actions. Nothing is simulated. Where the environment lists no actions, nothing is known.
    """

    name: ClassVar[str] = "entropy"

    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Entropy from which on the agent counts as uncertain, as a share of the highest possible one."""
    most: int = Field(default=50, gt=1)
    """Most admissible actions that are scored; where there are more, nothing is known."""

    def actions(self, trajectory: Trajectory, state: int) -> Sequence[str]:
        """Return the admissible actions, the one that was taken included."""
        listed = trajectory.observation(state).actions
        if listed is None:
            return ()
        actions = tuple(dict.fromkeys((*listed, trajectory.steps[state].action)))
        return actions if len(actions) <= self.most else ()

    def score(self, logprobs: Sequence[float]) -> Score:
        """Compare the entropy over these actions with the threshold."""
        entropy = relative_entropy(logprobs)
        return Score(entropy >= self.threshold, f"entropy {entropy:.2g} of the highest over {len(logprobs)} actions")


def relative_entropy(logprobs: Sequence[float]) -> float:
    """Return the entropy of a distribution over actions, divided by that of the uniform one.

    Args:
        logprobs: log-probability of each action. They needn't add up to a probability of 1.
    """
    highest = max(logprobs, default=-inf)
    if len(logprobs) < 2 or highest == -inf:
        return 0.0
    weights = [exp(logprob - highest) for logprob in logprobs]
    total = sum(weights)
    shares = [weight / total for weight in weights if weight > 0]
    return min(1.0, max(0.0, -sum(share * log(share) for share in shares) / log(len(logprobs))))
