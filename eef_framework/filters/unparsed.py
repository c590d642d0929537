"""Filter for trajectories with answers that weren't understood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from eef_framework.filters.trajectories import fact
from eef_framework.interfaces import Filter
from eef_framework.records import Example


class DropUnparsed(Filter):
    """Drop trajectories with too many answers without an action, or too many invalid actions.

    Examples that weren't made from a trajectory of this framework are kept.
    """

    name: ClassVar[str] = "drop-unparsed"

    unparsed: float = Field(default=0.0, ge=0.0, le=1.0)
    """Maximum share of answers in which no action was found."""
    invalid: float = Field(default=1.0, ge=0.0, le=1.0)
    """Maximum share of actions that the environment didn't understand."""

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep the examples of the other trajectories."""
        return [
            example
            for example in examples
            if _share(example, "unparsed") <= self.unparsed and _share(example, "invalid") <= self.invalid
        ]


def _share(example: Example, name: str) -> float:
    count, steps = fact(example, name), fact(example, "steps")
    return count / steps if count and steps else 0.0
