"""A scripted expert for the corridor that makes mistakes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from eef_framework.interfaces import Session
from eef_framework.records import Observation
from eef_framework.rollout import ScriptedExpert
from eef_framework.testing.corridor import best_action


class CorridorExpert(ScriptedExpert):
    """Knows the way through the corridor, but takes a wrong action now and then."""

    name: ClassVar[str] = "corridor-expert"
    continues: ClassVar[bool] = True

    skill: float = Field(default=0.65, ge=0.0, le=1.0)
    """Chance of the right action at each step; otherwise one of the wrong ones is taken."""
    max_steps: int = Field(default=30, gt=0)
    """Maximum number of actions."""

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Yield right and wrong actions, up to `max_steps`."""
        for _ in range(self.max_steps):
            yield self._choose(session.observation, draw)

    def _choose(self, observation: Observation, draw: random.Random) -> str:
        right = best_action(observation.text)
        wrong = [action for action in observation.actions or () if action != right]
        return right if not wrong or draw.random() < self.skill else draw.choice(wrong)
