"""Balance filter: limits how much larger one group of examples is than another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from eef_framework.filters.trajectories import drawn, fact, of_trajectories, trajectory_of
from eef_framework.interfaces import Filter
from eef_framework.records import Example


class Balance(Filter):
    """Draw trajectories of large groups of tasks, so that none has many times the trajectories of the smallest."""

    name: ClassVar[str] = "balance"

    by: Literal["kind", "difficulty"] = "kind"
    """Groups: `kind` of the task (easy, paging, a task type), or its `difficulty`: tasks that the agent solved from the
    initial state always, sometimes or never, or that it hasn't tried."""
    ratio: float = Field(default=2.0, ge=1.0)
    """Maximum number of trajectories of a group, as a multiple of those of the smallest group."""

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep all examples of the trajectories that were drawn, in their order."""
        groups: dict[str, set[str]] = defaultdict(set)
        for example in examples:
            groups[self._group(example)].add(trajectory_of(example))
        most = int(self.ratio * min((len(group) for group in groups.values()), default=0))
        kept: set[str] = set()
        for name, group in groups.items():
            kept.update(drawn(group, most, f"{seed}/{name}"))
        return of_trajectories(examples, kept)

    def _group(self, example: Example) -> str:
        if self.by == "kind":
            return str(example.info.get("kind", ""))
        tries, solved = fact(example, "tries"), fact(example, "solved")
        if not tries or solved is None:
            return "untried"
        return "never" if not solved else "always" if solved == tries else "sometimes"
