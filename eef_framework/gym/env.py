"""Any environment as a Gymnasium environment."""

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
"""In characters: what the spaces hold. A longer action is carried out like any other."""

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
"""What samples are drawn from."""


class AnyText(spaces.Text):
    """All texts up to a length, whatever characters they have. Samples consist of ASCII characters.

    A `spaces.Text` with every character of Unicode in its charset takes seconds and more than 200 MB to make.
    """

    def __init__(self, max_length: int = LONGEST_OBSERVATION) -> None:
        super().__init__(max_length, min_length=0, charset=CHARACTERS)

    def contains(self, x: Any) -> bool:
        """Return whether it is a text that isn't too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"AnyText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText) and other.max_length == self.max_length


class EefEnv(gymnasium.Env[str, str]):
    """An environment of this framework, played through Gymnasium's interface.

    Observations and actions are texts. `reset(seed=...)` draws a task of the split; `reset(options={"task": id})`
    takes a certain one. `info` has the keys

    * `task`: the task's id;
    * `instructions`: instructions for the agent, shown once, and `instruction`: the goal in words; both may be empty;
    * `admissible_actions`: the list of admissible actions, None where they aren't known;
    * `free_actions`: those with a part to be worded, such as `search[...]`;
    * `valid`: whether the action was understood;
    * `score`: the episode's reward so far under the environment's own rule.

    With `AsyncVectorEnv`, give `shared_memory=False`: its shared memory knows the characters of the charset only.

    Args:
        environment: an environment, which stays open, or the name of a registered one.
        split: the split to play tasks from.
        render_mode: `ansi` lets `render()` return the latest observation.
        registry: where the environment is found by name; the installed plugins by default.
        settings: of the environment, where it is given by name.

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
        """Start an episode of the task that the options name, or of one that is drawn.

        Raises:
            UnknownName: the split has no such task.
            EnvironmentFailure: the task can't be opened.
        """
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
            gymnasium.error.ResetNeeded: no episode was started.
            EnvironmentFailure: the episode is over.
        """
        if self.session is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        step = self.session.step(str(action))
        return step.observation.text, step.reward, step.terminated, step.truncated, self._info(self.session)

    def render(self) -> str | None:
        """Return the latest observation, where the render mode is `ansi`."""
        return self.session.observation.text if self.render_mode == "ansi" and self.session else None

    def close(self) -> None:
        """End the episode, and close the environment if it was made here."""
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
        raise UnknownName.of(f"task of split {self.split!r}", task_id, known, "Give the id of one of tasks(split).")
