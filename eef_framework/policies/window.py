"""Truncates conversations that don't fit into a model's context window: the oldest observations are dropped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from eef_framework.errors import PolicyFailure
from eef_framework.records import Conversation


class Fitted(NamedTuple):
    """A conversation that fits."""

    conversation: Conversation
    dropped: int
    """Number of oldest observations that were dropped, each with the turn that answers it."""


def fitted(conversation: Conversation, max_tokens: int, length: Callable[[Conversation], int]) -> Fitted:
    """Drop as few of the oldest observations as possible. Instructions and the last observation are kept.

    Args:
        conversation: ends with a user message.
        max_tokens: maximum length of the prompt.
        length: returns the number of tokens of a conversation's prompt.

    Raises:
        PolicyFailure: the last observation alone is too long.
    """
    wanted = length(conversation)
    if wanted <= max_tokens:
        return Fitted(conversation, 0)
    turns = sum(message.role == "assistant" for message in conversation)
    dropped = bisect_left(
        range(turns + 1), True, key=lambda count: length(without_oldest(conversation, count)) <= max_tokens
    )
    if dropped > turns:
        raise PolicyFailure(
            f"a prompt has {length(without_oldest(conversation, turns))} tokens without any earlier observation, and "
            f"{max_tokens} fit into the model's window beside the answer",
            "Leave out the instructions (format.instructions: false), let the environment show less, or use a model "
            "with a longer window.",
            code="prompt-too-long",
            tokens=length(without_oldest(conversation, turns)),
            max_tokens=max_tokens,
        )
    return Fitted(without_oldest(conversation, dropped), dropped)


def without_oldest(conversation: Conversation, count: int) -> Conversation:
    """Return a conversation without its first observations and the turns that answer them.

    Args:
        conversation: an optional system message, then alternating user and assistant messages.
        count: number of observations to drop.
    """
    head = 1 if conversation and conversation[0].role == "system" else 0
    return conversation[:head] + conversation[head + 2 * count :]
