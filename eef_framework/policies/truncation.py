"""Truncates conversations that don't fit into a model's context window: the oldest observations are dropped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from eef_framework.errors import PolicyFailure
from eef_framework.records import Conversation


class Truncated(NamedTuple):
    """A conversation that fits."""

    conversation: Conversation
    dropped: int
    """Number of oldest observations that were dropped, each with the turn that answers it."""


def truncate_oldest(conversation: Conversation, max_tokens: int, length: Callable[[Conversation], int]) -> Truncated:
    """Drop as few of the oldest observations as possible. Instructions and the last observation are kept.

    Args:
        conversation: ends with a user message.
        max_tokens: maximum length of the prompt.
        length: returns the number of tokens of a conversation's prompt.

    Raises:
        PolicyFailure: the prompt is too long even without any earlier observation.
    """
    if length(conversation) <= max_tokens:
        return Truncated(conversation, 0)
    most = droppable_observations(conversation)
    dropped = bisect_left(
        range(most + 1), True, key=lambda count: length(without_oldest(conversation, count)) <= max_tokens
    )
    if dropped > most:
        shortest = length(without_oldest(conversation, most))
        raise PolicyFailure(
            f"a prompt has {shortest} tokens without any earlier observation, and {max_tokens} fit into the model's "
            "context window beside the answer",
            "Leave out the instructions (format.instructions: false), let the environment show less, or use a model "
            "with a longer context window.",
            code="prompt-too-long",
            tokens=shortest,
            max_tokens=max_tokens,
        )
    return Truncated(without_oldest(conversation, dropped), dropped)


def without_oldest(conversation: Conversation, count: int) -> Conversation:
    """Return a conversation without its oldest observations and the turns that answer them.

    Args:
        conversation: an optional system message, then alternating user and assistant messages, a user message last.
        count: number of observations to drop, at most `droppable_observations(conversation)`.
    """
    first = next((index for index, message in enumerate(conversation) if message.role == "user"), 0)
    return (*conversation[:first], *conversation[first + 2 * count :])


def droppable_observations(conversation: Conversation) -> int:
    """Return how many observations can be dropped: all that were answered."""
    return sum(message.role == "assistant" for message in conversation)
