"""An environment under test, and random walks in it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from eef_framework.interfaces import Environment, Session
from eef_framework.records import Observation, Step, Task
from eef_framework.seeds import derive
from eef_framework.testing.conformance.violation import SHOWN


@dataclass(frozen=True)
class EnvironmentContext:
    """Input of the checks of an environment.

    Attributes:
        environment: the environment under test.
        split: the split of the tested tasks.
        count: number of tested tasks, spread over the split.
        steps: maximum length of a walk, in actions.
        extra: actions to try besides the listed ones, for environments that list none.
        seed: of the choice of actions.
        cycles: number of sessions that are opened and closed to search for leaks.
        patience_s: time limit for each check that opens many sessions, in seconds. A check that reaches it is based
            on fewer sessions.
    """

    environment: Environment
    split: str = "train"
    count: int = 4
    steps: int = 12
    extra: Sequence[str] = ()
    seed: int = 0
    cycles: int = 100
    patience_s: float = 20.0
    _tasks: list[Task] = field(default_factory=list, repr=False)
    _walks: dict[str, list[Step]] = field(default_factory=dict, repr=False)

    def tasks(self) -> list[Task]:
        """Return the tested tasks, which are looked up once."""
        if not self._tasks:
            every = list(self.environment.tasks(self.split))
            self._tasks.extend(every[:: max(1, len(every) // self.count)][: self.count])
        return list(self._tasks)

    def walk(self, task: Task) -> list[Step]:
        """Return the steps of a random walk, which is taken once."""
        if task.id not in self._walks:
            with self.environment.open(task) as session:
                self.random_walk(session, self.steps)
                self._walks[task.id] = list(session.steps)
        return self._walks[task.id]

    def random_walk(self, session: Session, steps: int) -> None:
        """Take random actions, seeded by the task, until the session has this number of steps."""
        draw = random.Random(derive(self.seed, "walk", session.task.id))
        while not session.done and len(session.steps) < steps:
            session.step(self.choose(session.observation, draw))

    def choose(self, observation: Observation, draw: random.Random) -> str:
        """Return a random action: a listed one, a free one with a word of the observation, or an extra one."""
        words = observation.text.split() or ["word"]
        free = [f"{form.prefix}{draw.choice(words)}{form.suffix}" for form in observation.free]
        return draw.choice([*(observation.actions or ()), *free, *self.extra] or ["look around"])

    def sample(self, actions: Sequence[str]) -> Sequence[str]:
        """Return up to twelve of the actions, spread over the list."""
        return actions[:: max(1, len(actions) // 12)][:12]

    def after(self, task: Task, steps: Sequence[Step]) -> Session:
        """Open a task and take the actions of some steps."""
        session = self.environment.open(task)
        for step in steps:
            session.step(step.action)
        return session


def difference(expected: Step, actual: Step) -> tuple[str, object, object] | None:
    """Return the first field in which two steps differ, with both values; None if they are equal."""
    for name in ("action", "observation", "reward", "terminated", "truncated", "valid"):
        first, second = getattr(expected, name), getattr(actual, name)
        if first != second and not (first != first and second != second):  # NaN doesn't equal itself
            return observation_difference(first, second) if name == "observation" else (name, first, second)
    return None


def observation_difference(expected: Observation, actual: Observation) -> tuple[str, object, object] | None:
    """Return the first part in which two observations differ, with both values; None if they are equal.

    Of lists, that is an item; of long texts, an excerpt that begins shortly before the first difference.
    """
    for name in ("text", "actions", "free"):
        first, second = getattr(expected, name), getattr(actual, name)
        if first == second:
            continue
        if first is None or second is None:
            return f"observation.{name}", first, second
        place = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
        place = min(len(first), len(second)) if place is None else place
        if name == "text":
            start = place - 40 if max(len(first), len(second)) > SHOWN and place > 40 else 0
            return "observation.text", first[start:], second[start:]
        one, other = (list(each[place : place + 1]) for each in (first, second))
        return f"observation.{name}, from index {place},", one, other
    return None
