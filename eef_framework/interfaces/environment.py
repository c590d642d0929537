"""A world with tasks in it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from eef_framework.interfaces.component import Component
from eef_framework.interfaces.session import Session
from eef_framework.records import Task


class Environment(Component):
    """The heavy, shared part of a world: a catalogue, a JVM, a set of games. Sessions are cheap beside it.

    What an implementer owes:

    * the same task and the same actions always lead to equal observations, in any process: **a state is its task
      and the actions that led there**, and everything else rests on that;
    * `tasks(split)` always returns the same tasks in the same order, and splits are disjoint;
    * any number of sessions may be open at once without disturbing one another.
    """

    blocking: ClassVar[bool] = False
    """Whether a step may take longer than about a millisecond. Such sessions are stepped in threads, so that
    other episodes go on meanwhile."""

    @property
    def instructions(self) -> str:
        """What an agent is told once, before the first observation: the rules and the form of actions."""
        return ""

    @property
    def most_sessions(self) -> int | None:
        """How many sessions at once it serves well; None for any number. Further episodes wait for their turn."""
        return None

    @property
    def longest_episode(self) -> int | None:
        """Longest episode that this environment allows, in actions; None where it sets no limit.

        By default its setting `max_steps`, where it has one.
        """
        limit = getattr(self, "max_steps", None)
        return limit if isinstance(limit, int) else None

    @abstractmethod
    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split, `train`, `dev` or `test`, in a fixed order.

        Raises:
            ConfigError: there is no such split.
        """

    @abstractmethod
    def open(self, task: Task) -> Session:
        """Start an episode.

        Raises:
            EnvironmentFailure: the task is not one of this environment's, or can't be started.
        """
