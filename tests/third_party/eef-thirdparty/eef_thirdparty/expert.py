"""An expert that is good at beginnings."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

from pydantic import Field

from eef_framework import Environment, Expert, Observation, Task, Trajectory, derive, expert_id


class Hasty(Expert):
    """Works backwards from the goal, and loses patience now and then: it doubles whatever there is."""

    name = "hasty"

    patience: float = Field(default=0.8, ge=0.0, le=1.0)
    """Chance that it stays calm at a step."""

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Play the tasks one after the other."""
        for task in tasks:
            draw = random.Random(derive(seed, "hasty", task.id))
            with environment.open(task) as session:
                while not session.done:
                    calm = draw.random() < self.patience
                    session.step(best_action(session.observation) if calm else "double")
                yield Trajectory(
                    id=expert_id(self.name, task),
                    task=task,
                    actor=f"expert/{self.name}",
                    seed=seed,
                    initial=session.initial,
                    steps=tuple(session.steps),
                    reward=session.reward,
                    ending="terminated" if session.steps[-1].terminated else "truncated",
                )


def best_action(observation: Observation) -> str:
    """Return the action on a shortest way, found by going back from the goal: halve it until it is one action away."""
    number, goal = (int(line.split()[-1]) for line in observation.text.splitlines())
    while goal > 2 * number + 1:
        goal //= 2
    return "double" if goal >= 2 * number else "add[1]"
