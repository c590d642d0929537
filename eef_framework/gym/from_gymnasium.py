"""Wraps Gymnasium environments with text, or with spaces that can be converted to text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, JsonValue, PrivateAttr, ValidationError

from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName
from eef_framework.gym.action_words import Actions, words_of
from eef_framework.interfaces import Environment, Session
from eef_framework.records import Observation, Step, Task, fingerprint

if TYPE_CHECKING:
    import gymnasium

SPLITS = ("train", "dev", "test")
LARGEST_SPLIT = 1_000_000
"""Maximum number of tasks in a split: the seeds of the next split begin after them."""

LONGEST_EPISODE = 100
"""Maximum episode length in actions, if neither Gymnasium's registry nor a setting has one."""


class GymnasiumEnvironment(Environment):
    """A Gymnasium environment. A task is a seed of it; a state is a seed and the actions since.

    Discrete actions, and observations that are texts or numbers, are converted to text automatically. For others, and
    for better texts, write a subclass: override `observe`, and set `actions` to a mapping from texts to actions.
    """

    name: ClassVar[str] = "gymnasium"

    id: str
    """The id for `gymnasium.make`: `FrozenLake-v1`, or with the module to import, `my_module:MyEnvironment-v0`."""
    kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """Further arguments of `gymnasium.make`."""
    actions: Actions = ()
    """Words for actions: a list for discrete actions in their order, or a mapping from words to actions. By default
    discrete actions are named by their numbers, and text actions are the agent's text."""
    rules: str = ""
    """Instructions for the agent, shown once: the rules and the format of actions."""
    reward: Literal["sum", "last"] = "sum"
    """An episode's reward: the sum of the rewards of its steps, or the last one."""
    max_steps: int | None = Field(default=None, gt=0)
    """Maximum episode length in actions, including invalid ones. null for the limit in Gymnasium's registry, or 100 if
    it has none."""
    train: int = Field(default=1000, ge=0, le=LARGEST_SPLIT)
    """Number of tasks in the split `train`; their seeds count from 0."""
    dev: int = Field(default=200, ge=0, le=LARGEST_SPLIT)
    """Number of tasks in the split `dev`; their seeds count from 1,000,000."""
    test: int = Field(default=500, ge=0, le=LARGEST_SPLIT)
    """Number of tasks in the split `test`; their seeds count from 2,000,000."""

    _vocabulary: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def longest_episode(self) -> int:
        """The setting `max_steps`, else the limit in Gymnasium's registry, else 100."""
        return self.max_steps or self._spec().max_episode_steps or LONGEST_EPISODE

    def preflight(self) -> None:
        """Check that the environment is in Gymnasium's registry.

        Raises:
            ConfigError: it isn't, or the module that registers it can't be imported.
        """
        self._spec()

    def _spec(self) -> Any:
        import gymnasium

        try:
            return gymnasium.spec(self.id)
        except (gymnasium.error.Error, ImportError, ValueError) as cause:
            raise ConfigError(
                f"Gymnasium has no environment {self.id!r}: {cause}",
                "Check `id`; `python -c 'import gymnasium; gymnasium.pprint_registry()'` lists all of them. One that a "
                "module of yours registers is called my_module:MyEnvironment-v0.",
                code="unknown-gymnasium-id",
                id=self.id,
            ) from cause

    @property
    def instructions(self) -> str:
        """The rules."""
        return self.rules

    def observe(self, observation: Any, info: Mapping[str, Any]) -> str:
        """Convert an observation to text; override it if the observation is neither text nor a number.

        Args:
            observation: the observation returned by `reset` or `step`.
            info: the `info` returned with it.

        Raises:
            ConfigError: the observation can't be converted.
        """
        if isinstance(observation, str) or getattr(observation, "shape", None) == () or isinstance(observation, int):
            return str(observation)
        raise ConfigError(
            f"observations of {self.id!r} are neither texts nor numbers but {type(observation).__name__}",
            "Write a subclass of GymnasiumEnvironment whose observe(observation, info) returns a text.",
            code="observation-without-words",
            id=self.id,
            type=type(observation).__name__,
        )

    def admissible(self, info: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the words of the admissible actions in a state; None if they are unknown.

        By default all actions, without those that the `action_mask` in `info` (a Gymnasium convention) excludes; for
        text actions, those that `admissible_actions` in `info` lists.
        """
        words = self.vocabulary
        if not words:
            listed = info.get("admissible_actions")
            return None if listed is None else tuple(listed)
        mask = info.get("action_mask")
        if mask is None or len(mask) != len(words):
            return tuple(words)
        return tuple(word for word, allowed in zip(words, mask, strict=True) if allowed)

    def tasks(self, split: str) -> Sequence[Task]:
        """Return a split's tasks: one for every seed of its range.

        Raises:
            ConfigError: the split or the Gymnasium environment doesn't exist.
        """
        if split not in SPLITS:
            raise UnknownName.of("split", split, SPLITS, where=f"in environment {self.component_name()!r}")
        self.vocabulary  # noqa: B018 - a wrong id or mapping is found before anything starts
        first = SPLITS.index(split) * LARGEST_SPLIT
        return [self._task(split, seed) for seed in range(first, first + int(getattr(self, split)))]

    def open(self, task: Task) -> GymnasiumSession:
        """Create a Gymnasium environment and reset it with the task's seed.

        Raises:
            EnvironmentFailure: the task belongs to another environment, or to other settings.
        """
        seed = task.info.get("seed")
        if not isinstance(seed, int) or task.fingerprint != self._fingerprint(seed):
            raise EnvironmentFailure(
                f"task {task.id!r} of environment {task.environment!r} is not one of {self.id!r} with these settings",
                "Take tasks from tasks(split) of an environment with the same `id` and `kwargs`.",
                code="foreign-task",
                task=task.id,
            )
        return GymnasiumSession(self, task, self.make(), seed)

    def make(self) -> gymnasium.Env[Any, Any]:
        """Create the Gymnasium environment.

        Raises:
            ConfigError: Gymnasium doesn't have it, or can't create it.
        """
        import gymnasium

        try:
            arguments: dict[str, Any] = {"max_episode_steps": self.max_steps, "disable_env_checker": True}
            return gymnasium.make(self.id, **arguments | self.kwargs)
        except (gymnasium.error.Error, ImportError, TypeError, ValueError) as cause:
            raise ConfigError(
                f"gymnasium.make({self.id!r}) failed: {cause}",
                "Check `id` and `kwargs`; `python -c 'import gymnasium; gymnasium.pprint_registry()'` lists all ids.",
                code="gymnasium-make",
                id=self.id,
            ) from cause

    @property
    def vocabulary(self) -> dict[str, Any]:
        """Words -> actions; empty if any text is an action.

        Raises:
            ConfigError: the space of actions is neither discrete nor text and has no words, or not enough of them.
        """
        if self._vocabulary is None:
            env = self.make()
            try:
                self._vocabulary = words_of(env.action_space, self.actions, self.id)
            finally:
                env.close()
        return self._vocabulary

    def _task(self, split: str, seed: int) -> Task:
        return Task(
            id=f"{self.id}-seed-{seed}",
            environment=self.component_name(),
            split=split,
            fingerprint=self._fingerprint(seed),
            info={"seed": seed},
        )

    def _fingerprint(self, seed: int) -> str:
        return fingerprint(f"{self.id} {json.dumps(self.kwargs, sort_keys=True)} {seed}")


class GymnasiumSession(Session):
    """An episode of a Gymnasium environment. A fork replays it in another Gymnasium environment with the same seed.

    An invalid action isn't passed to the Gymnasium environment. It counts as a step, so that an agent with only invalid
    actions reaches the step limit.

    Attributes:
        env: the Gymnasium environment, used by this session only.
    """

    environment: GymnasiumEnvironment

    def __init__(self, environment: GymnasiumEnvironment, task: Task, env: gymnasium.Env[Any, Any], seed: int) -> None:
        self.env = env
        self._words = environment.vocabulary
        self._limit = environment.max_steps or (env.spec and env.spec.max_episode_steps)
        try:
            seen, info = env.reset(seed=seed)
            super().__init__(environment, task, self._put(environment, seen, info))
        except BaseException:
            env.close()
            raise

    @property
    def reward(self) -> float:
        """The sum of the rewards so far, or the last one."""
        if self.environment.reward == "last":
            return super().reward
        return math.fsum(step.reward for step in self.steps)

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        if not self._understood(action):
            return Step(action=action, observation=self.observation, truncated=self._at_limit(), valid=False)
        seen, reward, terminated, truncated, info = self.env.step(self._words.get(action, action))
        return Step(
            action=action,
            observation=self._put(self.environment, seen, info),
            reward=float(reward),
            terminated=bool(terminated),
            truncated=not terminated and (bool(truncated) or self._at_limit()),
        )

    def _understood(self, action: str) -> bool:
        return action in self._words if self._words else action in self.env.action_space

    def _at_limit(self) -> bool:
        return len(self.steps) + 1 >= (self._limit or LONGEST_EPISODE)

    def _put(self, environment: GymnasiumEnvironment, seen: Any, info: dict[str, Any]) -> Observation:
        text, actions = environment.observe(seen, info), environment.admissible(info)
        try:
            return Observation(text=text, actions=actions)
        except ValidationError as cause:
            observed = cause.errors()[0]["loc"][0] == "text"
            method, returned = ("observe", text) if observed else ("admissible", actions)
            raise EnvironmentFailure(
                f"{type(environment).__name__}.{method}() returned {returned!r:.80} of type {type(returned).__name__}",
                "Return a text (str)." if observed else "Return a tuple of texts, or None if the actions are unknown.",
                code="wrong-return-type",
                method=method,
            ) from cause

    def release(self) -> None:
        """Release what the session holds."""
        self.env.close()
