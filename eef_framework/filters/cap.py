"""Cap filter: keeps easy tasks from crowding out hard ones."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from eef_framework.interfaces import Filter
from eef_framework.records import Example


class CapPerTask(Filter):
    """Keep examples from a limited number of trajectories per task."""

    name: ClassVar[str] = "cap-per-task"

    trajectories: int = Field(default=2, gt=0)
    """Maximum number of trajectories per task. A pair counts as its better one."""

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep all examples of the trajectories that were drawn, in their order."""
        of_task: dict[str, dict[str, None]] = defaultdict(dict)
        for example in examples:
            of_task[example.task][example.trajectory] = None
        drawn: set[str] = set()
        for task, trajectories in of_task.items():
            count = min(self.trajectories, len(trajectories))
            drawn.update(random.Random(f"{seed}/{task}").sample(sorted(trajectories), count))
        return [example for example in examples if example.trajectory in drawn]
