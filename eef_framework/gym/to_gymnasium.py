"""Wraps an environment as a Gymnasium environment."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
from gymnasium import spaces

from eef_framework.errors import UnknownName
from eef_framework.interfaces import Environment, Session
from eef_framework.plugins import Registry, current_registry
from eef_framework.records import Task

LONGEST_OBSERVATION, LONGEST_ACTION = 100_000, 1_000
"""Maximum lengths in the spaces, in characters. A longer action is carried out, too."""

OPTIONS = ("task",)
"""Options of `reset`."""

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""Characters in samples."""


class AnyText(spaces.Text):
    """All texts up to a length, with any characters. Samples consist of ASCII characters.

    Creating a `spaces.Text` with all Unicode characters takes seconds and more than 200 MB.
    """

    def __init__(self, max_length: int = LONGEST_OBSERVATION) -> None:
        super().__init__(max_length, min_length=0, charset=CHARACTERS)

    def contains(self, x: Any) -> bool:
        """Return whether a value is a text of at most the maximum length."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"AnyText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText) and other.max_length == self.max_length


class EefEnv(gymnasium.Env[str, str]):
    """An environment of this framework with Gymnasium's interface.

    Observations and actions are texts. `reset(seed=...)` selects a random task of the split;
    `reset(options={"task": id})` selects a specific one, and is the only option. `info` has the keys

    * `task`: the task's id;
    * `instructions`: instructions for the agent; `instruction`: the goal of the task; both may be empty;
    * `admissible_actions`: the list of admissible actions; None if unknown;
    * `free_actions`: admissible actions with a free-text part, such as `search[...]`;
    * `valid`: whether the last action was valid;
    * `score`: the episode's reward so far under the environment's own rule.

    Use `AsyncVectorEnv` with `shared_memory=False`: its shared memory supports only the characters of the charset.

    Args:
        environment: an environment, which this class doesn't close, or the name of a registered one.
        split: the split of the tasks.
        render_mode: with `ansi`, `render()` returns the latest observation.
        registry: registry for looking up the name; by default the installed plugins.
        settings: settings of the environment, if it is given by name.

    Raises:
        ConfigError: the environment, split or setting doesn't exist.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]

    def __init__(
        self,
        environment: str | Environment,
        split: str = "train",
        render_mode: str | None = None,
        registry: Registry | None = None,
        **settings: Any,
    ) -> None:
        self._owned = not isinstance(environment, Environment)
        spec = {"name": environment, **settings} if isinstance(environment, str) else environment
        self.environment = (registry or current_registry()).build("environment", spec)
        self.split = split
        self.render_mode = render_mode
        self.observation_space = AnyText()
        self.action_space = AnyText(LONGEST_ACTION)
        self.session: Session | None = None
        self._tasks: Sequence[Task] = self.environment.tasks(split)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode of the task in the options, or of a random one.

        Raises:
            UnknownName: the split has no such task, or there is no such option.
            EnvironmentFailure: the task can't be opened.
        """
        for option in options or {}:
            if option not in OPTIONS:
                fix = "A wrapper that has options of its own has to remove them before it calls reset()."
                raise UnknownName.of("option", str(option), OPTIONS, fix, where="of reset()")
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(len(self._tasks)))
        wanted = (options or {}).get("task")
        task = self._tasks[drawn] if wanted is None else self._find(str(wanted))
        self._end()
        self.session = self.environment.open(task)
        return self.session.observation.text, self._info(self.session)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Carry out an action.

        Raises:
            gymnasium.error.ResetNeeded: no episode has been started.
            gymnasium.error.InvalidAction: it isn't a text. A text that the environment doesn't understand is a step.
            EnvironmentFailure: the episode has ended.
        """
        if self.session is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        if not isinstance(action, str):
            raise gymnasium.error.InvalidAction(
                f"step() was given {action!r:.80} of type {type(action).__name__}, expected a text (str): for "
                "example one of info['admissible_actions']"
            )
        step = self.session.step(str(action))
        return step.observation.text, step.reward, step.terminated, step.truncated, self._info(self.session)

    def render(self) -> str | None:
        """Return the latest observation if the render mode is `ansi`."""
        return self.session.observation.text if self.render_mode == "ansi" and self.session else None

    def close(self) -> None:
        """End the episode, and close the environment if it was created here."""
        self._end()
        if self._owned:
            self.environment.close()

    def _end(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None

    def _info(self, session: Session) -> dict[str, Any]:
        actions, free = session.observation.actions, session.observation.free
        return {
            "task": session.task.id,
            "instructions": self.environment.instructions,
            "instruction": session.task.instruction,
            "admissible_actions": None if actions is None else list(actions),
            "free_actions": [f"{form.prefix}...{form.suffix}" for form in free],
            "valid": not session.steps or session.steps[-1].valid,
            "score": float(session.reward),
        }

    def _find(self, task_id: str) -> Task:
        for task in self._tasks:
            if task.id == task_id:
                return task
        near = difflib.get_close_matches(task_id, [task.id for task in self._tasks], n=3)
        known = near or [self._tasks[0].id, self._tasks[-1].id]
        fix = "Give the id of one of tasks(split)."
        raise UnknownName.of("task", task_id, known, fix, where=f"in split {self.split!r}")
