"""Costs of episodes and of single answers, attempts that were lost to failures included."""

from __future__ import annotations

from collections.abc import Iterable

from eef_framework.records import Cost, Response, Trajectory


def cost_of_answers(responses: Iterable[Response | None]) -> Cost:
    """Add up the costs of answers."""
    given = [response for response in responses if response is not None]
    return Cost(
        prompt_tokens=sum(response.prompt_tokens for response in given),
        computed_tokens=sum(response.computed_tokens for response in given),
        usd=sum(response.usd for response in given),
        answers_of_unknown_cost=sum(map(_unknown, given)),
    )


def cost_of_episode(trajectory: Trajectory) -> Cost:
    """Return the steps of an episode, and the cost of its answers. Replayed steps cost nothing."""
    own = trajectory.own_steps
    lost = Cost(
        steps=trajectory.lost_steps,
        prompt_tokens=trajectory.lost_prompt_tokens,
        computed_tokens=trajectory.lost_tokens,
        usd=trajectory.lost_usd,
        answers_of_unknown_cost=trajectory.lost_unknown,
    )
    return lost + Cost(steps=len(own)) + cost_of_answers(step.response for step in own)


def with_lost_costs(trajectory: Trajectory, earlier: Trajectory | None) -> Trajectory:
    """Add the costs of an earlier, lost attempt at an episode to the attempt that replaces it.

    If the policy kept its answers on disk, the latest attempt includes the costs of the same answers in the
    earlier one. Then only what exceeds its own costs is added, for an attempt that didn't get as far.

    Args:
        trajectory: the latest attempt.
        earlier: the last one before it, which includes the costs of those that it replaced; None if there is none.
    """
    if earlier is None or not earlier.lost:
        return trajectory
    more = cost_of_episode(earlier)
    if _includes_earlier(trajectory):
        own = cost_of_episode(trajectory)
        shared = ("prompt_tokens", "computed_tokens", "usd", "answers_of_unknown_cost")
        more = more.changed(**{name: max(0, getattr(more, name) - getattr(own, name)) for name in shared})
    return _with(trajectory, more)


def with_costs_of(trajectory: Trajectory, others: Iterable[Trajectory]) -> Trajectory:
    """Add the costs of other attempts at a task to the attempt that is kept."""
    return _with(trajectory, sum(map(cost_of_episode, others), Cost()))


def _with(trajectory: Trajectory, more: Cost) -> Trajectory:
    changed: Trajectory = trajectory.changed(
        lost_steps=trajectory.lost_steps + more.steps,
        lost_prompt_tokens=trajectory.lost_prompt_tokens + more.prompt_tokens,
        lost_tokens=trajectory.lost_tokens + more.computed_tokens,
        lost_usd=round(trajectory.lost_usd + more.usd, 9),
        lost_unknown=trajectory.lost_unknown + more.answers_of_unknown_cost,
    )
    return changed


def _includes_earlier(trajectory: Trajectory) -> bool:
    """Return whether some of the answers were requested in an earlier attempt."""
    infos = [trajectory.info, *(step.response.info for step in trajectory.steps if step.response is not None)]
    return any(info.get("earlier_requests") for info in infos)


def _unknown(response: Response) -> int:
    """Return the number of answers of unknown cost: the answer itself, and lost ones before it."""
    return (response.info.get("usage") == "unknown") + bool(response.info.get("unknown_requests"))
