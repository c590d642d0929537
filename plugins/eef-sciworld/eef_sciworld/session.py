"""One episode in ScienceWorld."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, Self

from eef_framework.interfaces import Environment, Session
from eef_framework.records import Observation, Step, Task
from eef_sciworld.simulator import Setup
from eef_sciworld.simulator_pool import SimulatorPool
from eef_sciworld.state import EpisodeState, View, ViewOptions
from eef_sciworld.views import compact_actions, compact_view, text_view

Mode = Literal["text", "compact"]
ScoreRule = Literal["highest", "last"]
Admissible = Literal["none", "compact", "valid"]


@dataclass(frozen=True)
class EpisodeSettings:
    """The environment's settings for an episode."""

    mode: Mode
    """Format of observations."""
    score: ScoreRule
    """Which score the reward is based on."""
    admissible: Admissible
    """Which actions observations list."""
    max_steps: int
    """Maximum episode length, in actions."""


class SciWorldSession(Session):
    """An episode: its state, and the score so far.

    Args:
        environment: the environment that opens it.
        task: its task.
        setup: its initial state.
        settings: the environment's settings.
        simulators: where the episode is played.

    Attributes:
        description: the description of the task.
        score: the score according to the score rule, 0 to 100.
    """

    def __init__(
        self, environment: Environment, task: Task, setup: Setup, settings: EpisodeSettings, simulators: SimulatorPool
    ) -> None:
        self._settings = settings
        self._simulators = simulators
        options = ViewOptions(surroundings=settings.mode == "compact", actions=settings.admissible != "none")
        self._state = EpisodeState(setup, options)
        self.description, view = simulators.run(self._state.begin, self._state)
        self.score = max(view.outcome.score, 0)
        super().__init__(environment, task, self._observe(view))

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        view = self._simulators.run(lambda simulator: self._state.step(simulator, action), self._state)
        outcome = view.outcome
        self.score = max(outcome.score, self.score if self._settings.score == "highest" else 0)
        ended = outcome.completed or outcome.score < 0
        return Step(
            action=action,
            observation=self._observe(view, action),
            reward=self.score / 100,
            terminated=ended,
            truncated=not ended and len(self.steps) + 1 >= self._settings.max_steps,
            valid=outcome.understood,
            info={"score": outcome.score},
        )

    def duplicate(self) -> Self:
        """Return an independent session in the same state. It gets a simulator when it first acts."""
        twin = copy.copy(self)
        twin._state = self._state.copy()
        return twin

    def release(self) -> None:
        """Make the episode's simulator available to others."""
        self._simulators.release(self._state)

    def _observe(self, view: View, action: str = "") -> Observation:
        if self._settings.mode == "compact":
            text = compact_view(view, self.description, action)
        else:
            text = text_view(view, "" if action else self.description)
        actions = view.actions
        if actions is not None and self._settings.admissible == "compact":
            actions = compact_actions(actions, self.description)
        return Observation(text=text, actions=actions)
