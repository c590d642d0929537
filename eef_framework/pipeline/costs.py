"""Costs of episodes."""

from __future__ import annotations

from collections.abc import Iterable

from eef_framework.records import Cost, Trajectory


def cost_of(trajectories: Iterable[Trajectory], by_agent: bool = False) -> Cost:
    """Add up the costs of episodes. Replayed steps cost nothing, and the stage measures wall-clock time.

    Args:
        trajectories: the episodes.
        by_agent: whether the agent played them; if so, they count as simulations.
    """
    episodes = steps = prompt = computed = 0
    usd, unknown = 0.0, 0
    for trajectory in trajectories:
        episodes += 1
        own = trajectory.steps[trajectory.prefix_length :]
        steps += len(own)
        computed += trajectory.lost_tokens
        usd += trajectory.lost_usd
        for response in (step.response for step in own):
            if response is not None:
                prompt += response.prompt_tokens
                computed += response.computed_tokens
                usd += response.usd
                unknown += (response.info.get("usage") == "unknown") + bool(response.info.get("unknown_requests"))
    return Cost(
        episodes=episodes,
        simulations=episodes if by_agent else 0,
        steps=steps,
        prompt_tokens=prompt,
        computed_tokens=computed,
        usd=round(usd, 6),
        answers_of_unknown_cost=unknown,
    )
