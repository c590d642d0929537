"""Filter that gives every trajectory the same weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from eef_framework.filters.trajectories import by_trajectory, trajectory_of
from eef_framework.interfaces import Filter
from eef_framework.records import Example


class WeighTrajectories(Filter):
    """Give every trajectory the same weight: the weights of its turns add up to 1, so long ones don't count for more.

    Put it after the filters that drop examples. Pairs keep their weights, since trainers of preferences compare sums
    over whole attempts.
    """

    name: ClassVar[str] = "weigh-trajectories"

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Return all examples, with the weights of each trajectory divided by their sum."""
        totals = {
            name: sum(message.weight for example in own for message in example.messages)
            for name, own in by_trajectory(example for example in examples if not example.rejected).items()
        }
        return [_divided(example, totals.get(trajectory_of(example), 0.0)) for example in examples]


def _divided(example: Example, total: float) -> Example:
    if example.rejected or not total:
        return example
    messages = tuple(message.changed(weight=message.weight / total) for message in example.messages)
    changed: Example = example.changed(messages=messages)
    return changed
