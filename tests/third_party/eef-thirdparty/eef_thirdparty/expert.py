"""An expert that is good at beginnings."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pydantic import Field

from eef_framework import Observation, ScriptedExpert, Session


class Hasty(ScriptedExpert):
    """Works backwards from the goal, but sometimes loses patience and doubles."""

    name = "hasty"

    patience: float = Field(default=0.8, ge=0.0, le=1.0)
    """Probability of not losing patience at a step."""

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Go on until the episode ends."""
        while True:
            calm = draw.random() < self.patience
            yield best_action(session.observation) if calm else "double"


def best_action(observation: Observation) -> str:
    """Return the first action of a shortest path, found by halving the goal until it is one action away."""
    number, goal = (int(line.split()[-1]) for line in observation.text.splitlines())
    while goal > 2 * number + 1:
        goal //= 2
    return "double" if goal >= 2 * number else "add[1]"
