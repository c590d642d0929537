"""One episode in ScienceWorld."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from eef_framework.interfaces import Session
from eef_framework.records import Observation, Step, Task
from eef_sciworld.views import compact_actions, compact_view, text_view
from eef_sciworld.world import View, World

if TYPE_CHECKING:
    from eef_sciworld.environment import SciWorld


class SciWorldSession(Session):
    """A world on its way, and the score so far.

    Attributes:
        environment: the environment.
        world: its state.
        description: the task in words.
        score: what the score rule makes of the scores so far, 0 to 100.
    """

    environment: SciWorld

    def __init__(self, environment: SciWorld, task: Task, world: World) -> None:
        self.environment = environment
        self.world = world
        self.max_steps = environment.step_limit(world.setup.task)
        self.description, view = world.begin()
        self.score = max(view.outcome.score, 0)
        super().__init__(environment, task, self._observe(view))

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        view = self.world.step(action)
        outcome = view.outcome
        highest = self.environment.score == "highest"
        self.score = max(outcome.score, self.score if highest else 0)
        ended = outcome.completed or outcome.score < 0
        return Step(
            action=action,
            observation=self._observe(view, action),
            reward=self.score / 100,
            terminated=ended,
            truncated=not ended and len(self.steps) + 1 >= self.max_steps,
            valid=outcome.understood,
            info={"score": outcome.score},
        )

    def _observe(self, view: View, action: str = "") -> Observation:
        if self.environment.mode == "compact":
            text = compact_view(view, self.description, action)
        else:
            text = text_view(view, "" if action else self.description)
        actions = view.actions
        if actions is not None and self.environment.admissible == "compact":
            actions = compact_actions(actions, self.description)
        return Observation(text=text, actions=actions)

    def duplicate(self) -> Self:
        """Return an independent session in the same state."""
        twin = copy.copy(self)
        twin.world = self.world.copy()
        return twin

    def release(self) -> None:
        """Release what the session holds."""
        self.world.forget()
