"""Deduplication filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from eef_framework.interfaces import Filter
from eef_framework.records import Conversation, Example

Words = tuple[tuple[str, str, float], ...]


class Deduplicate(Filter):
    """Drop examples with text and weights that occurred before."""

    name: ClassVar[str] = "deduplicate"

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep the first of equal examples."""
        first: dict[tuple[Words, Words], Example] = {}
        for example in examples:
            first.setdefault((_words(example.messages), _words(example.rejected)), example)
        return list(first.values())


def _words(conversation: Conversation) -> Words:
    return tuple((message.role, message.content, message.weight) for message in conversation)
