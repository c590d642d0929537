"""The same thing once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from eef_framework.interfaces import Filter
from eef_framework.records import Example


class Deduplicate(Filter):
    """Drop examples whose words and weights occurred before."""

    name: ClassVar[str] = "deduplicate"

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep the first of equal examples."""
        first: dict[tuple[tuple[str, str, float], ...], Example] = {}
        for example in examples:
            first.setdefault(tuple((m.role, m.content, m.weight) for m in example.messages), example)
        return list(first.values())
