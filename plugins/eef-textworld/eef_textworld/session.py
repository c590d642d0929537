"""One episode of a game."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from eef_framework.errors import EnvironmentFailure, ReplayDivergence
from eef_framework.interfaces import Session
from eef_framework.records import Observation, Step, Task
from eef_textworld.engine import Secret, View

if TYPE_CHECKING:
    from eef_textworld.environment import TextWorld


class TextWorldSession(Session):
    """A game in progress: a number that the engine knows it by. Should the engine die, the episode is played again."""

    environment: TextWorld

    def __init__(self, environment: TextWorld, task: Task) -> None:
        self._host = environment.host
        self._number, view = self._host.ask("open", task.info)
        self._generation = self._host.generation
        self._score = view.score
        super().__init__(environment, task, _observed(view))

    @property
    def reward(self) -> float:
        """The share of the game's highest score reached so far, 0 to 1; 1 if and only if the game is won."""
        return self._score

    def secret(self) -> Secret:
        """Return privileged information: experts may see it, agents must not."""
        secret: Secret = self._host.ask("tell", self._here())
        return secret

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        view: View = self._host.ask("step", self._here(), action)
        gained, self._score = view.score - self._score, view.score
        over = view.won or view.lost
        return Step(
            action=action,
            observation=_observed(view),
            reward=gained,
            terminated=over,
            truncated=not over and len(self.steps) + 1 >= self.environment.max_steps,
            valid=view.valid,
        )

    def duplicate(self) -> Self:
        """Return an independent session in the same state."""
        twin = copy.copy(self)
        twin._number = self._host.ask("fork", self._here())
        twin._generation = self._host.generation
        return twin

    def release(self) -> None:
        """Release what the session holds."""
        if self._generation == self._host.generation and self._host.pid is not None:
            try:
                self._host.ask("close", self._number)
            except EnvironmentFailure:
                return  # an engine that died holds nothing

    def _here(self) -> int:
        """Return the number of this game, which is played again first if the engine it was in has died."""
        if self._generation != self._host.generation or self._host.pid is None:
            commands = [step.action for step in self.steps]
            self._number, view = self._host.ask("open", self.task.info, commands)
            self._generation = self._host.generation
            if _observed(view) != self.observation:
                raise ReplayDivergence(
                    f"task {self.task.id!r} was played again after TextWorld had died, and {len(commands)} actions led "
                    f"to {view.text[:200]!r} instead of {self.observation.text[:200]!r}",
                    "The same version of TextWorld has to be installed throughout a run.",
                )
        return self._number


def _observed(view: View) -> Observation:
    return Observation(text=view.text, actions=view.actions)
