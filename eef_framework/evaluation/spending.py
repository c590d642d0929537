"""Spending of episodes, per task and in total."""

from __future__ import annotations

from collections.abc import Iterable

from eef_framework.records import Spending, Trajectory
from eef_framework.rollout.episode_costs import cost_of_episode


def spending_of(trajectory: Trajectory) -> Spending:
    """Return the spending of one episode. Replayed steps cost nothing."""
    cost = cost_of_episode(trajectory)
    return Spending(simulations=1, tokens=cost.computed_tokens, steps=cost.steps, seconds=trajectory.seconds)


def spending_by_task(trajectories: Iterable[Trajectory]) -> dict[str, Spending]:
    """Return task id -> spending of its episodes. An episode that was played again counts once."""
    found: dict[str, Spending] = {}
    for trajectory in {trajectory.id: trajectory for trajectory in trajectories}.values():
        task = trajectory.task.id
        found[task] = found.get(task, Spending()) + spending_of(trajectory)
    return found


def total(spendings: Iterable[Spending]) -> Spending:
    """Add up."""
    return sum(spendings, Spending())
