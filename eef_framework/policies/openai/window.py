"""What is left out of a conversation that is longer than the model's context."""

from __future__ import annotations

from eef_framework.records import Conversation

NOTE = "[{turns} earlier {noun} left out here]"
"""Stands behind the first observation, so that the model knows."""


def without_oldest(conversation: Conversation, turns: int) -> Conversation | None:
    """Return a conversation without its oldest turns.

    What stands in front, the first observation (which often states the task) and the latest are always kept. A turn
    goes with the observation it led to.

    Args:
        conversation: ends with a user's message.
        turns: how many agent's turns to leave out.

    Returns:
        The shorter conversation, or None if it hasn't that many to spare.
    """
    if turns == 0:
        return conversation
    first = next(index for index, message in enumerate(conversation) if message.role == "user")
    rest = first + 1 + 2 * turns
    if rest + 2 > len(conversation):
        return None
    note = NOTE.format(turns=turns, noun="turn is" if turns == 1 else "turns are")
    start = conversation[first].changed(content=f"{conversation[first].content}\n\n{note}")
    return (*conversation[:first], start, *conversation[rest:])


def spare_turns(conversation: Conversation) -> int:
    """Return how many turns can be left out."""
    return max(0, sum(message.role == "assistant" for message in conversation) - 1)
