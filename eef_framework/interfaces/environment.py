"""Environment: a world with tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from eef_framework.interfaces.component import Component
from eef_framework.interfaces.session import Session
from eef_framework.records import Task


class Environment(Component):
    """Environment: the heavy, shared part of a world, such as a catalogue, a JVM or a set of games. Sessions are cheap.

    Requirements for implementations:

    * the same task and the same actions always lead to equal observations, in any process: **a state is its task
      and the actions that led there**, and everything else depends on that;
    * `tasks(split)` always returns the same tasks in the same order, and splits are disjoint;
    * any number of sessions may be open at once without affecting one another.
    """

    blocking: ClassVar[bool] = False
    """Whether a step may take longer than about a millisecond. If so, sessions are stepped in threads, so that other
    episodes continue meanwhile."""

    @property
    def instructions(self) -> str:
        """Instructions for the agent, shown once before the first observation: the rules and the format of actions."""
        return ""

    @property
    def max_sessions(self) -> int | None:
        """Maximum number of concurrent sessions; None for no limit. Further episodes wait."""
        return None

    @property
    def longest_episode(self) -> int | None:
        """Longest episode that this environment allows, in actions; None if there is no limit.

        Defaults to its setting `max_steps`, if it has one.
        """
        limit = getattr(self, "max_steps", None)
        return limit if isinstance(limit, int) else None

    @abstractmethod
    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split, `train`, `dev` or `test`, in a fixed order.

        Raises:
            ConfigError: the split doesn't exist.
        """

    @abstractmethod
    def open(self, task: Task) -> Session:
        """Start an episode.

        Raises:
            EnvironmentFailure: the task doesn't belong to this environment, or can't be started.
        """
