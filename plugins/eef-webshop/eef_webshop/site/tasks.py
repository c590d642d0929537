"""The tasks of a split, created on access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, overload

from eef_framework.records import Task

SPLITS: Final = {"test": (0, 500), "dev": (500, 1500), "train": (1500, None)}
"""First goal of each split, and its exclusive end, in the reference's order (`baseline_models/env.py`)."""


class GoalTasks(Sequence[Task]):
    """A sequence of tasks.

    Args:
        indices: indices of the goals.
        make: returns the task of a goal, given its index.
    """

    def __init__(self, indices: range, make: Callable[[int], Task]) -> None:
        self._indices, self._make = indices, make

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | Sequence[Task]:
        if isinstance(index, slice):
            return GoalTasks(self._indices[index], self._make)
        return self._make(self._indices[index])


def split_of(index: int) -> str:
    """Return the split of a goal, given its index."""
    return next(split for split, (_, end) in SPLITS.items() if end is None or index < end)
