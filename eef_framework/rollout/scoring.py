"""Scores of actions, from policies that support scoring."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import PlayEpisode, ScoreActions
from eef_framework.records import Response, State


async def score_actions(play: PlayEpisode, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
    """Return the answers that take actions in a state, with their log-probabilities.

    Args:
        play: plays episodes with the policy.
        state: the state.
        actions: the actions.
        thought: the thought before each action, in formats with thoughts.

    Raises:
        PolicyFailure: the policy isn't in this process, or has no log-probabilities (`scoring-unsupported`).
    """
    if not isinstance(play, ScoreActions):
        raise PolicyFailure(
            "the executor plays episodes elsewhere, and can't score actions",
            "Use the executor `threads`, or another attributor.",
            code="scoring-unsupported",
        )
    return await play.score(state, actions, thought)
