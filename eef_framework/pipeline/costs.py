"""Costs of episodes."""

from __future__ import annotations

from collections.abc import Iterable

from eef_framework.records import Attribution, Cost, Trajectory
from eef_framework.rollout.episode_costs import cost_of_episode


def cost_of(trajectories: Iterable[Trajectory], by_agent: bool = False) -> Cost:
    """Add up the costs of episodes. Replayed steps cost nothing, and the stage measures wall-clock time.

    Args:
        trajectories: the episodes.
        by_agent: whether the agent played them; if so, they count as simulations.
    """
    each = [cost_of_episode(trajectory) for trajectory in trajectories]
    whole = sum(each, Cost(episodes=len(each), simulations=len(each) if by_agent else 0))
    return whole.changed(usd=round(whole.usd, 6))


def with_attributions(cost: Cost, attributions: Iterable[Attribution]) -> Cost:
    """Add the costs of attributions: scores, and answers of judges."""
    whole = sum((attribution.cost for attribution in attributions), cost)
    return whole.changed(usd=round(whole.usd, 6))
