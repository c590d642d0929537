"""Whoever demonstrates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence

from eef_framework.interfaces.component import Component
from eef_framework.interfaces.environment import Environment
from eef_framework.records import Task, Trajectory


class Expert(Component):
    """A source of demonstrations: a language model, a script, a recording. It may fail, and its failures are used."""

    def preflight(self, environment: Environment | None = None) -> None:
        """Find out, within a second, whether this expert can work here; see `Component.preflight`.

        Args:
            environment: the world it is to demonstrate in, where one is known.

        Raises:
            ConfigError: it can't, for example because it knows another world only.
        """

    @abstractmethod
    def demonstrate(self, environment: Environment, tasks: Sequence[Task], seed: int) -> AsyncIterator[Trajectory]:
        """Play tasks and yield each trajectory as it ends, in any order.

        Args:
            environment: where to play.
            tasks: which to play; a resumed run asks only for those still owed.
            seed: a task's demonstration depends on it and on the task, not on the other tasks.

        Yields:
            One trajectory a task, failures included. Its id and actor are filled in by the framework.
        """
