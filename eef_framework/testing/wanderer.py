"""A scripted expert for the corridor that makes mistakes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from pydantic import Field

from eef_framework.interfaces import Environment, Expert
from eef_framework.records import Observation, Task, Trajectory
from eef_framework.rollout import expert_id
from eef_framework.seeds import derive
from eef_framework.testing.corridor import best_action


class Wanderer(Expert):
    """Knows the way through the corridor, and strays from it now and then."""

    name: ClassVar[str] = "wanderer"

    skill: float = Field(default=0.65, ge=0.0, le=1.0)
    """Chance of the right action at each step; otherwise one of the wrong ones is taken."""
    patience: int = Field(default=30, gt=0)
    """After how many steps it gives up."""

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Play the tasks one after the other."""
        for task in tasks:
            yield self._play(environment, task, derive(seed, "wanderer", task.id))

    def _play(self, environment: Environment, task: Task, seed: int) -> Trajectory:
        draw = random.Random(seed)
        with environment.open(task) as session:
            while not session.done and len(session.steps) < self.patience:
                session.step(self._choose(session.observation, draw))
            last = session.steps[-1]
            return Trajectory(
                id=expert_id(self.name, task),
                task=task,
                actor=f"expert/{self.name}",
                seed=seed,
                initial=session.initial,
                steps=tuple(session.steps),
                reward=session.reward,
                ending="terminated" if last.terminated else "truncated" if last.truncated else "gave-up",
            )

    def _choose(self, observation: Observation, draw: random.Random) -> str:
        right = best_action(observation.text)
        wrong = [action for action in observation.actions or () if action != right]
        return right if not wrong or draw.random() < self.skill else draw.choice(wrong)
