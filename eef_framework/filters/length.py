"""Length filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from eef_framework.filters.trajectories import fact
from eef_framework.interfaces import Filter
from eef_framework.records import Conversation, Example


class LimitLength(Filter):
    """Drop long examples."""

    name: ClassVar[str] = "limit-length"

    steps: int | None = Field(default=None, gt=0)
    """Maximum number of actions of the trajectory that an example was made from; null for no limit. Examples that
    weren't made from a trajectory are kept."""
    turns: int | None = Field(default=None, gt=0)
    """Maximum number of the agent's turns in a conversation; null for no limit."""
    characters: int | None = Field(default=None, gt=0)
    """Maximum length of a conversation in characters; null for no limit."""

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep examples within all limits. Of a pair, both sides have to be."""
        return [example for example in examples if self._fits(example)]

    def _fits(self, example: Example) -> bool:
        steps = fact(example, "steps")
        if self.steps is not None and steps is not None and steps > self.steps:
            return False
        sides = (example.messages, example.rejected)
        return all(
            _within(sum(message.role == "assistant" for message in side), self.turns)
            and _within(_characters(side), self.characters)
            for side in sides
        )


def _within(length: int, limit: int | None) -> bool:
    return limit is None or length <= limit


def _characters(conversation: Conversation) -> int:
    return sum(len(message.content) for message in conversation)
