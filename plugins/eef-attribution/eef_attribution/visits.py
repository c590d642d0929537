"""States that recorded episodes have in common: states with equal, or similar, observations."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from eef_framework.interfaces import Simulate
from eef_framework.records import Trajectory


async def visitors_of(
    trajectory: Trajectory, simulate: Simulate, similarity: float = 1.0, everyone: bool = False
) -> dict[int, Sequence[Trajectory]]:
    """Return the recorded episodes that came by each state of a trajectory, and acted there.

    Args:
        trajectory: a demonstration of the task, or any other episode.
        simulate: gives the recorded episodes.
        similarity: see `same`.
        everyone: return demonstrations, too, not only the episodes of the agent.
    """
    episodes = [each for each in await simulate.episodes() if everyone or is_agents(each)]
    seen = [{each.observation(k).text for k in range(len(each.steps))} for each in episodes]
    here = [trajectory.observation(k).text for k in range(len(trajectory.steps))]
    return {
        state: [each for each, texts in zip(episodes, seen, strict=True) if _among(text, texts, similarity)]
        for state, text in enumerate(here)
    }


def is_agents(trajectory: Trajectory) -> bool:
    """Return whether the agent acted in an episode, not an expert."""
    return trajectory.actor.startswith("agent/")


def same(text: str, other: str, similarity: float) -> bool:
    """Return whether two observations count as one state.

    Args:
        text: one of them.
        other: the other one.
        similarity: 1 if they have to be equal; below, the least share of matching characters.
    """
    if text == other:
        return True
    return similarity < 1 and _ratio(*sorted((text, other)), similarity) >= similarity


def _among(text: str, texts: set[str], similarity: float) -> bool:
    return text in texts or (similarity < 1 and any(same(text, other, similarity) for other in texts))


@lru_cache(maxsize=10_000)
def _ratio(text: str, other: str, enough: float) -> float:
    """Return the share of matching characters, or less than `enough` where it can't reach that."""
    matcher = SequenceMatcher(None, text, other, autojunk=False)
    # The first two are upper bounds, and much cheaper.
    for bound in (matcher.real_quick_ratio, matcher.quick_ratio):
        if bound() < enough:
            return 0.0
    return matcher.ratio()
