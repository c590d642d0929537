"""Cap filter: limits the trajectories per task, so that easy tasks don't outweigh hard ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from eef_framework.filters.trajectories import drawn, of_trajectories, trajectory_of
from eef_framework.interfaces import Filter
from eef_framework.records import Example


class CapPerTask(Filter):
    """Keep examples from a limited number of trajectories per task."""

    name: ClassVar[str] = "cap-per-task"

    trajectories: int = Field(default=2, gt=0)
    """Maximum number of trajectories per task. A pair counts as its better one."""

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep all examples of the trajectories that were drawn, in their order."""
        of_task: dict[str, list[str]] = defaultdict(list)
        for example in examples:
            of_task[example.task].append(trajectory_of(example))
        kept: set[str] = set()
        for task, trajectories in of_task.items():
            kept.update(drawn(trajectories, self.trajectories, f"{seed}/{task}"))
        return of_trajectories(examples, kept)
