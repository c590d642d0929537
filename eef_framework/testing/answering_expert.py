"""An expert that answers questions, and demonstrates nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from eef_framework.interfaces import Environment, Expert, Policy
from eef_framework.records import Task, Trajectory


class AnsweringExpert(Expert):
    """An expert for judges, without demonstrations. Subclasses name its model."""

    model: ClassVar[type[Policy]]

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Yield nothing."""
        nothing: Sequence[Trajectory] = ()
        for trajectory in nothing:
            yield trajectory

    @contextmanager
    def open_policy(self) -> Iterator[Policy]:
        """Provide the model."""
        yield self.model()
