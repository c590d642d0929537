"""Conversations that don't fit into a model's window: the oldest observations are left out."""

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
    """How many of the oldest observations were left out, each with the turn that answers it."""


def fitted(conversation: Conversation, max_tokens: int, length: Callable[[Conversation], int]) -> Fitted:
    """Leave out as few of the oldest observations as possible. Instructions and the last observation stay.

    Args:
        conversation: ends with a user's message.
        max_tokens: longest prompt.
        length: tells how many tokens the prompt of a conversation has.

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
        conversation: perhaps a system's message, then user's and assistant's messages in turn.
        count: how many.
    """
    head = 1 if conversation and conversation[0].role == "system" else 0
    return conversation[:head] + conversation[head + 2 * count :]
