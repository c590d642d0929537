"""Examples by trajectory: with a short history, each turn of a trajectory is an example of its own."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence

from eef_framework.records import Example


def by_trajectory(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Return trajectory id -> its examples, in their order. An example without a trajectory is one of its own."""
    found: dict[str, list[Example]] = {}
    for example in examples:
        found.setdefault(trajectory_of(example), []).append(example)
    return found


def trajectory_of(example: Example) -> str:
    """Return the id of the trajectory that an example was made from; the example's own id if there is none."""
    return example.trajectory or example.id


def of_trajectories(examples: Iterable[Example], kept: Collection[str]) -> list[Example]:
    """Return the examples of some trajectories, in their order."""
    return [example for example in examples if trajectory_of(example) in kept]


def drawn(trajectories: Iterable[str], count: int, seed: str) -> list[str]:
    """Return a number of trajectories, chosen at random; all if there are fewer. Their order doesn't matter."""
    names: Sequence[str] = sorted(set(trajectories))
    return random.Random(seed).sample(names, min(count, len(names)))


def fact(example: Example, name: str) -> float | None:
    """Return a number that selection recorded about an example's trajectory; None if it isn't known."""
    value = example.info.get(name)
    return float(value) if isinstance(value, int | float) else None
