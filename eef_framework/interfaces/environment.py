"""Environment and Session: an environment opens sessions, and each session is an episode of one task."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self, final

from eef_framework.errors import ConfigError, EnvironmentFailure, ReplayDivergence
from eef_framework.interfaces.component import Component
from eef_framework.records import MOST_REWARD, Observation, Step, Task, Tool, encodable, fingerprint


class Environment(Component):
    """Environment: the heavy, shared part of a world, such as a catalogue, a JVM or a set of games. Sessions are cheap.

    Requirements for implementations:

    * the same task and the same actions always lead to equal observations, in any process: **a state is its task
      and the actions that led there**, and everything else depends on that;
    * `tasks(split)` always returns the same tasks in the same order, and no task is in two splits;
    * any number of sessions may be open at once without affecting one another.
    """

    blocking: ClassVar[bool] = False
    """Whether a step may take longer than about a millisecond. If so, sessions are stepped in threads, so that other
    episodes continue meanwhile."""

    splits: ClassVar[Sequence[str]] = ("train", "dev", "test")
    """The splits that it has; `new_task` refuses others."""

    @property
    def instructions(self) -> str:
        """Instructions for the agent, shown once before the first observation: the rules and the format of actions."""
        return ""

    @property
    def tools(self) -> Sequence[Tool]:
        """Tools that the agent calls with `format.style: tools`, each with the action that a call takes.

        Default: none. The agent then calls `act`, which takes any action.
        """
        return ()

    @property
    def max_sessions(self) -> int | None:
        """Maximum number of concurrent sessions; None for no limit. Further episodes wait."""
        return None

    @property
    def longest_episode(self) -> int | None:
        """Longest episode that this environment allows, in actions; None if there is no limit.

        Defaults to its setting `max_steps`, if it has one. The last step of such an episode is truncated.
        """
        limit = getattr(self, "max_steps", None)
        return limit if isinstance(limit, int) else None

    @abstractmethod
    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split, `train`, `dev` or `test`, in a fixed order.

        Raises:
            ConfigError: the split doesn't exist.
        """

    def new_task(self, split: str, id: str, fingerprint: str = "", **fields: Any) -> Task:
        """Return a task of this environment, for `tasks`.

        Args:
            split: its split.
            id: its id, unique within the environment.
            fingerprint: hash of what defines the task. Default: that of `instruction` and `info`.
            fields: further fields of `Task`.

        Raises:
            ConfigError: the environment has no such split.
        """
        name = self.component_name()
        if split not in self.splits:
            raise ConfigError(
                f"{name} has no split {split!r}",
                f"Choose one of: {', '.join(self.splits)}.",
                code="no-such-split",
                split=split,
                splits=list(self.splits),
            )
        task = Task(id=id, environment=name, split=split, fingerprint=fingerprint, **fields)
        return task if fingerprint else task.changed(fingerprint=_content_of(task))

    @abstractmethod
    def open(self, task: Task) -> Session:
        """Start an episode.

        Raises:
            EnvironmentFailure: the task doesn't belong to this environment, or can't be started.
        """


class _Unset:
    """An attribute of sessions before it is set: tells which `__init__` wasn't called."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, session: Session | None, cls: type) -> Any:
        if session is None:
            return self
        raise EnvironmentFailure(
            f"{cls.__name__} has no {self.name!r} yet: its __init__ hasn't called the one of Session",
            f"Call `super().__init__(environment, task, observation)` in __init__ of {cls.__name__}, with the first "
            "observation.",
            code="session-without-init",
            session=cls.__name__,
            attribute=self.name,
        )


def _unset() -> Any:
    return _Unset()


class Session(ABC):
    """Session: one episode of one task. Lightweight, and independent of all other sessions.

    Subclasses call `super().__init__` with the first observation and implement `perform`. They may override `duplicate`
    (where copying a state is faster than replay), `release` and `reward`.

    Attributes:
        environment: the environment that opened it.
        task: the task that is played.
        initial: the first observation.
        observation: the latest one.
        steps: the steps so far.
    """

    environment: Environment = _unset()
    task: Task = _unset()
    initial: Observation = _unset()
    observation: Observation = _unset()
    steps: list[Step] = _unset()
    closed: bool = _unset()

    def __init__(self, environment: Environment, task: Task, observation: Observation) -> None:
        if not isinstance(observation, Observation):
            raise EnvironmentFailure(
                f"{type(self).__name__} passes {observation!r:.80} to super().__init__ as the first observation",
                "Pass Observation(text=...).",
                code="not-an-observation",
            )
        self.environment = environment
        self.task = task
        self.initial = self.observation = observation.encodable()
        self.steps = []
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
        """Carry out an action, which may be any string. The step of an invalid action has `valid=False`.

        A step at the limit of `longest_episode` needn't say that it is truncated.
        """

    def duplicate(self) -> Self | None:
        """Return an independent session in the same state, or None if only replay can create one.

        Start from `copy.copy(self)` and give the copy its own version of everything that a step changes in place.
        `fork` fills in `steps`, `initial` and `observation`.
        """
        return None

    def release(self) -> None:  # noqa: B027 - most sessions hold nothing
        """Release this session's resources."""

    @final
    def step(self, action: str) -> Step:
        """Carry out an action. Lone surrogates, which no file can hold, are replaced in it and in what is observed.

        Raises:
            EnvironmentFailure: the episode has ended, the session is closed, or the environment returned something
                other than a step with a finite reward.
            TypeError: the action isn't a string.
        """
        if not isinstance(action, str):
            raise TypeError(f"step() takes an action, which is a string, not {action!r:.80}")
        action = action if action.isascii() else encodable(action)
        if self.closed or self.done:
            state = "closed" if self.closed else "over"
            raise EnvironmentFailure(
                f"step({action!r}) in an episode of task {self.task.id!r} that is {state}",
                "Open a new session, or fork one before its last step.",
                code="session-closed" if self.closed else "episode-over",
                task=self.task.id,
            )
        step: object = self.perform(action)
        if not isinstance(step, Step):
            raise EnvironmentFailure(
                f"perform() of {type(self).__name__} returned {step!r:.80}, not a Step",
                "Return Step(action=action, observation=...).",
                code="not-a-step",
            )
        observation = step.observation.encodable()
        if observation is not step.observation:
            step = step.changed(observation=observation)
        if step.action != action:  # what a replay repeats
            step = step.changed(action=action)
        limit = self.environment.longest_episode
        if limit is not None and len(self.steps) + 1 >= limit and not step.done:
            step = step.changed(truncated=True)
        self.steps.append(step)
        self.observation = step.observation
        rewards = step.reward, self.reward
        if not all(map(_is_reward, rewards)):
            who = f"environment {self.environment.component_name()!r} ({type(self).__name__})"
            raise EnvironmentFailure(
                f"{who} returned the reward {rewards[0]!r:.80} for {action!r} in task {self.task.id!r}; "
                f"the episode's is {rewards[1]!r:.80}",
                f"Return rewards from -{MOST_REWARD:g} to {MOST_REWARD:g}: 0.0 if there is none.",
                code="bad-reward",
                action=action,
                task=self.task.id,
            )
        return step

    @final
    def fork(self) -> Session:
        """Return an independent session in the same state, by copying if supported, otherwise by replay.

        Raises:
            ReplayDivergence: the replay led to a different observation.
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
        """End the episode and release its resources. May be called more than once."""
        if not self.closed:
            self.closed = True
            self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def replay(environment: Environment, task: Task, initial: Observation | None, steps: Sequence[Step]) -> Session:
    """Open a task and replay some recorded steps, comparing every observation on the way.

    Args:
        environment: where to open the task.
        task: the task to open.
        initial: the first observation, if known.
        steps: the recorded steps.

    Raises:
        EnvironmentFailure: the environment returned something other than a session (`not-a-session`).
        ReplayDivergence: an observation differs from the recorded one; the message says at which step.
    """
    session: object = environment.open(task)
    if not isinstance(session, Session):
        raise EnvironmentFailure(
            f"open() of {type(environment).__name__} returned {session!r:.80}, not a Session",
            "Return an object of a class derived from Session.",
            code="not-a-session",
            task=task.id,
        )
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


def _is_reward(value: float) -> bool:
    try:
        return abs(value) <= MOST_REWARD  # false of NaN
    except TypeError:
        return False  # it isn't a number


def _content_of(task: Task) -> str:
    return fingerprint(json.dumps([task.instruction, task.info], sort_keys=True))


def _compare(task: Task, state: int, action: str, expected: Observation, actual: Observation) -> None:
    if actual.text != expected.text:
        place = next((i for i, (a, b) in enumerate(zip(actual.text, expected.text, strict=False)) if a != b), None)
        start = max(0, (place if place is not None else min(len(actual.text), len(expected.text))) - 40)
        raise ReplayDivergence(
            f"replay of task {task.id!r} diverged in state {state}{f' (after {action!r})' if action else ''}: "
            f"expected ...{expected.text[start : start + 120]!r}..., got ...{actual.text[start : start + 120]!r}...",
            "The environment is not deterministic, or its version or data changed since the recording.",
        )
