"""One episode of a game."""

from __future__ import annotations

import copy
from typing import Self

from eef_framework.errors import EnvironmentFailure, ReplayDivergence
from eef_framework.interfaces import Environment, Session
from eef_framework.records import Observation, Step, Task
from eef_textworld.engine_process import EngineProcess
from eef_textworld.messages import PrivilegedInfo, View


class TextWorldSession(Session):
    """A game in progress: its number in the engine. If the engine dies, the episode is replayed.

    Args:
        environment: the environment that opens it.
        task: its task.
        engine: where the game runs.
        max_steps: maximum episode length, in actions.

    Raises:
        EnvironmentFailure: the engine can't make the game.
    """

    def __init__(self, environment: Environment, task: Task, engine: EngineProcess, max_steps: int) -> None:
        self._engine = engine
        self._max_steps = max_steps
        self._number: int
        view: View
        self._number, view = engine.request("open", task.info)
        self._generation = engine.generation
        self._score = view.score
        super().__init__(environment, task, _observation(view))

    @property
    def reward(self) -> float:
        """Score divided by the highest possible score, 0 to 1; 1 if and only if the game is won."""
        return self._score

    def privileged_info(self) -> PrivilegedInfo:
        """Return privileged information: experts may see it, agents must not."""
        info: PrivilegedInfo = self._engine.request("privileged_info", self._current_number())
        return info

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        view: View = self._engine.request("step", self._current_number(), action)
        gained, self._score = view.score - self._score, view.score
        over = view.won or view.lost
        return Step(
            action=action,
            observation=_observation(view),
            reward=gained,
            terminated=over,
            truncated=not over and len(self.steps) + 1 >= self._max_steps,
            valid=view.valid,
        )

    def duplicate(self) -> Self:
        """Return an independent session in the same state."""
        twin = copy.copy(self)
        twin._number = self._engine.request("fork", self._current_number())
        twin._generation = self._engine.generation
        return twin

    def release(self) -> None:
        """Discard the game in the engine."""
        if self._generation == self._engine.generation and self._engine.pid is not None:
            try:
                self._engine.request("close", self._number)
            except EnvironmentFailure:
                return  # the engine has died, and the game with it

    def _current_number(self) -> int:
        """Return the number of this game in the engine, after replaying it if the engine has died.

        Raises:
            ReplayDivergence: the replay led to another observation.
        """
        if self._generation != self._engine.generation or self._engine.pid is None:
            commands = [step.action for step in self.steps]
            view: View
            self._number, view = self._engine.request("open", self.task.info, commands)
            self._generation = self._engine.generation
            if _observation(view) != self.observation:
                raise ReplayDivergence(
                    f"task {self.task.id!r} was replayed because TextWorld had died, and {len(commands)} actions led "
                    f"to {view.text[:200]!r} instead of {self.observation.text[:200]!r}",
                    "Keep the version of TextWorld throughout a run.",
                )
        return self._number


def _observation(view: View) -> Observation:
    return Observation(text=view.text, actions=view.actions)
