"""Costs of attempts at an episode that were lost to failures."""

from __future__ import annotations

from collections.abc import Iterable

from eef_framework.records import Trajectory


def with_lost_costs(trajectory: Trajectory, earlier: Iterable[Trajectory]) -> Trajectory:
    """Add tokens and price of earlier, lost attempts at an episode to the attempt that replaces them.

    Args:
        trajectory: the latest attempt.
        earlier: the rows that it replaces: each includes the costs of those before it, so the last one counts.
    """
    lost = [row for row in earlier if row.ending == "error"]
    if not lost:
        return trajectory
    tokens, usd = _spent(lost[-1])
    replaced: Trajectory = trajectory.changed(
        lost_tokens=trajectory.lost_tokens + tokens, lost_usd=round(trajectory.lost_usd + usd, 9)
    )
    return replaced


def _spent(trajectory: Trajectory) -> tuple[int, float]:
    own = [step.response for step in trajectory.steps[trajectory.prefix_length :] if step.response is not None]
    tokens = sum(response.computed_tokens for response in own)
    return trajectory.lost_tokens + tokens, trajectory.lost_usd + sum(response.usd for response in own)
