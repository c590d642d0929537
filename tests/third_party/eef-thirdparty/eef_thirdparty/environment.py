"""An environment: get from one number to another."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from eef_framework import Environment, Observation, Session, Step, Task, derive

ACTIONS = {"add[1]": lambda number: number + 1, "double": lambda number: number * 2}


class Doubling(Environment):
    """Reach a number by adding and doubling. Going past it loses."""

    name = "doubling"

    largest: int = Field(default=60, ge=10)
    """Largest number to reach."""
    count: int = Field(default=40, gt=0)
    """Tasks in each of `train`, `dev` and `test`."""
    max_steps: int = Field(default=10, gt=0)
    """Longest episode, in actions."""

    @property
    def instructions(self) -> str:
        """The rules."""
        return "Reach the goal exactly. Actions: add[1], double."

    def tasks(self, split: str) -> Sequence[Task]:
        """Draw a goal for each task."""
        return [self._task(split, index) for index in range(self.count)]

    def open(self, task: Task) -> DoublingSession:
        """Start from 1."""
        return DoublingSession(self, task)

    def _task(self, split: str, index: int) -> Task:
        goal = random.Random(derive(0, "doubling", split, index)).randrange(2, self.largest)
        kind = "even" if goal % 2 == 0 else "odd"
        return self.new_task(split, f"{split}-{index}", kind=kind, instruction=f"Reach {goal}.", info={"goal": goal})


class DoublingSession(Session):
    """A number on its way."""

    def __init__(self, environment: Doubling, task: Task) -> None:
        self._number, self._goal = 1, int(str(task.info["goal"]))
        super().__init__(environment, task, self._look())

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        valid = action in ACTIONS
        if valid:
            self._number = ACTIONS[action](self._number)
        return Step(
            action=action,
            observation=self._look(),
            reward=float(self._number == self._goal),
            terminated=self._number >= self._goal,
            valid=valid,
        )

    def _look(self) -> Observation:
        return Observation(text=f"number: {self._number}\ngoal: {self._goal}", actions=tuple(ACTIONS))
