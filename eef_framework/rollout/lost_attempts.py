"""Costs of attempts at an episode that were lost to failures."""

from __future__ import annotations

from collections.abc import Iterable

from eef_framework.records import Trajectory


def with_lost_costs(trajectory: Trajectory, earlier: Iterable[Trajectory]) -> Trajectory:
    """Add tokens and price of earlier, lost attempts at an episode to the attempt that replaces them.

    Args:
        trajectory: the latest attempt.
        earlier: the rows that it replaces: each includes the costs of those before it, so the last one counts.

    If the policy kept its answers on disk, the latest attempt includes the costs of the same answers in earlier
    attempts. Then only what exceeds its own costs is added, for an attempt that didn't get as far.
    """
    lost = [row for row in earlier if row.ending == "error"]
    if not lost:
        return trajectory
    tokens, usd = _spent(lost[-1])
    if _includes_earlier(trajectory):
        own_tokens, own_usd = _spent(trajectory)
        tokens, usd = max(0, tokens - own_tokens), max(0.0, usd - own_usd)
    replaced: Trajectory = trajectory.changed(
        lost_tokens=trajectory.lost_tokens + tokens, lost_usd=round(trajectory.lost_usd + usd, 9)
    )
    return replaced


def with_costs_of(trajectory: Trajectory, others: Iterable[Trajectory]) -> Trajectory:
    """Add tokens and price of other attempts at a task to the attempt that is kept."""
    tokens, usd = trajectory.lost_tokens, trajectory.lost_usd
    for other_tokens, other_usd in map(_spent, others):
        tokens, usd = tokens + other_tokens, usd + other_usd
    kept: Trajectory = trajectory.changed(lost_tokens=tokens, lost_usd=round(usd, 9))
    return kept


def _includes_earlier(trajectory: Trajectory) -> bool:
    """Return whether some of the answers were requested in an earlier attempt."""
    infos = [trajectory.info, *(step.response.info for step in trajectory.steps if step.response is not None)]
    return any(info.get("earlier_requests") for info in infos)


def _spent(trajectory: Trajectory) -> tuple[int, float]:
    own = [step.response for step in trajectory.steps[trajectory.prefix_length :] if step.response is not None]
    tokens = sum(response.computed_tokens for response in own)
    return trajectory.lost_tokens + tokens, trajectory.lost_usd + sum(response.usd for response in own)
