"""Which of several solutions of a state is preferred."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eef_framework.config.schema import Preference, Select
from eef_framework.records import Trajectory
from eef_framework.rollout.detours import wasted


@dataclass(frozen=True)
class Solution:
    """A trajectory to learn from.

    Attributes:
        trajectory: the whole of it.
        weights: one loss weight per step.
        source: why it was selected: `expert`, `agent`, `continuation`, `recovery`, `advice` or `reflection`.
        kept: for a shortened solution, the index that each of its steps had before; None if nothing was left out.
        failed: whether it is a failure that is marked as such in the prompt.
    """

    trajectory: Trajectory
    weights: tuple[float, ...]
    source: str
    kept: tuple[int, ...] | None = None
    failed: bool = False


def preferred(candidates: Sequence[Solution], settings: Select, seed: str) -> list[Solution]:
    """Return the preferred solutions of one state, the best first. Ties are broken randomly, using the seed."""
    drawn = sorted(candidates, key=lambda solution: solution.trajectory.id)
    random.Random(seed).shuffle(drawn)
    names = (settings.solution,) if isinstance(settings.solution, str) else settings.solution
    ranked = sorted(drawn, key=lambda solution: tuple(_RANKS[name](solution) for name in names))
    return ranked[: settings.solutions_per_state]


def _expert_actions(solution: Solution) -> int:
    return len(solution.trajectory.steps) if solution.source == "expert" else solution.trajectory.prefix_length


def _improbability(solution: Solution) -> float:
    """Return the mean of -log p over the actor's own turns; infinite if it isn't known for all of them.

    Rounded, because the last digits of log-probabilities depend on concurrent requests.
    """
    logprobs = [step.response.logprob if step.response else None for step in solution.trajectory.own_steps]
    known = [logprob for logprob in logprobs if logprob is not None]
    return round(-sum(known) / len(known), 3) if known and len(known) == len(logprobs) else float("inf")


_RANKS: Mapping[Preference, Callable[[Solution], float]] = {
    "least-expert": _expert_actions,
    "fewest-steps": lambda solution: len(solution.trajectory.steps),
    "fewest-trained": lambda solution: sum(weight > 0 for weight in solution.weights),
    "fewest-wasted": lambda solution: len(wasted(solution.trajectory)),
    "most-probable": _improbability,
    "random": lambda solution: 0,
}
"""The smaller, the better."""
