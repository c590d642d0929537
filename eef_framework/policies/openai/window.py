"""What is left out of a conversation that is longer than the model's context."""

from __future__ import annotations

from eef_framework.records import Conversation


def without_oldest(conversation: Conversation, dropped: int) -> Conversation:
    """Return a conversation without its oldest observations and the turns that answer them.

    What stands in front of the first observation is kept, and the latest observation is.

    Args:
        conversation: perhaps a system message, then observations and turns by turns, the latest observation last.
        dropped: how many observations to leave out, at most `spare_observations(conversation)`.
    """
    first = next((index for index, message in enumerate(conversation) if message.role == "user"), 0)
    return (*conversation[:first], *conversation[first + 2 * dropped :])


def spare_observations(conversation: Conversation) -> int:
    """Return how many observations can be left out: all that were answered."""
    return sum(message.role == "assistant" for message in conversation)
