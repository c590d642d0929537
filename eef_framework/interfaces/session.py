"""One episode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, final

from eef_framework.errors import EnvironmentFailure, ReplayDivergence
from eef_framework.records import Observation, Step, Task

if TYPE_CHECKING:
    from eef_framework.interfaces.environment import Environment


class Session(ABC):
    """One episode of one task: light, and independent of all other sessions.

    Implementers call `super().__init__` with the first observation and write `perform`. They may override `duplicate`,
    where a copy of a state is faster than replay, `release`, and `reward`.

    Attributes:
        environment: the environment that opened it.
        task: what it is about.
        initial: the first observation.
        observation: the latest one.
        steps: what happened so far.
    """

    def __init__(self, environment: Environment, task: Task, observation: Observation) -> None:
        self.environment = environment
        self.task = task
        self.initial = observation
        self.observation = observation
        self.steps: list[Step] = []
        self.closed = False

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return bool(self.steps) and self.steps[-1].done

    @property
    def reward(self) -> float:
        """The episode's reward so far. By default the last step's; environments with another rule override it."""
        return self.steps[-1].reward if self.steps else 0.0

    @abstractmethod
    def perform(self, action: str) -> Step:
        """Carry out an action, whatever string it is. An action that makes no sense has `valid=False`."""

    def duplicate(self) -> Self | None:
        """Return an independent session in the same state, or None where only replay can make one.

        Start from `copy.copy(self)` and give the copy its own version of whatever a step changes in place. `steps`,
        `initial` and `observation` are filled in by `fork`.
        """
        return None

    def release(self) -> None:  # noqa: B027 - most sessions hold nothing
        """Release what this session holds."""

    @final
    def step(self, action: str) -> Step:
        """Carry out an action.

        Raises:
            EnvironmentFailure: the episode has ended, or the session is closed.
        """
        if self.closed or self.done:
            state = "closed" if self.closed else "over"
            raise EnvironmentFailure(
                f"step({action!r}) in an episode of task {self.task.id!r} that is {state}",
                "Open a new session, or fork one before its last step.",
            )
        step = self.perform(action)
        self.steps.append(step)
        self.observation = step.observation
        return step

    @final
    def fork(self) -> Session:
        """Return an independent session in the same state, by a copy where there is one, else by replay.

        Raises:
            ReplayDivergence: the replay led to another observation than this session's.
        """
        if self.closed:
            raise EnvironmentFailure(f"fork of a closed session of task {self.task.id!r}", "Fork before closing.")
        copy = self.duplicate()
        if copy is None:
            return replay(self.environment, self.task, self.initial, self.steps)
        copy.initial, copy.observation, copy.steps = self.initial, self.observation, list(self.steps)
        return copy

    @final
    def close(self) -> None:
        """End the episode and release what it holds. May be called twice."""
        if not self.closed:
            self.closed = True
            self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def replay(environment: Environment, task: Task, initial: Observation | None, steps: Sequence[Step]) -> Session:
    """Open a task and bring it to the state after some recorded steps, comparing every observation on the way.

    Args:
        environment: where.
        task: what to open.
        initial: the first observation, if it is known.
        steps: what was recorded.

    Raises:
        ReplayDivergence: an observation differs from the recorded one; says at which step.
    """
    session = environment.open(task)
    try:
        if initial is not None:
            _compare(task, 0, "", initial, session.observation)
        for index, step in enumerate(steps):
            if session.done:
                raise ReplayDivergence(
                    f"replay of task {task.id!r} ended after {index} of {len(steps)} actions",
                    "The environment is not deterministic, or its version or data changed since the recording.",
                )
            _compare(task, index + 1, step.action, step.observation, session.step(step.action).observation)
    except BaseException:
        session.close()
        raise
    return session


def _compare(task: Task, state: int, action: str, expected: Observation, actual: Observation) -> None:
    if actual.text != expected.text:
        place = next((i for i, (a, b) in enumerate(zip(actual.text, expected.text, strict=False)) if a != b), None)
        start = max(0, (place if place is not None else min(len(actual.text), len(expected.text))) - 40)
        raise ReplayDivergence(
            f"replay of task {task.id!r} diverged in state {state}{f' (after {action!r})' if action else ''}: "
            f"expected ...{expected.text[start : start + 120]!r}..., got ...{actual.text[start : start + 120]!r}...",
            "The environment is not deterministic, or its version or data changed since the recording.",
        )
