"""One episode of a Gymnasium environment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from eef_framework.errors import EnvironmentFailure
from eef_framework.interfaces import Session
from eef_framework.records import Observation, Step, Task

if TYPE_CHECKING:
    import gymnasium

    from eef_framework.gym.environment import GymnasiumEnvironment

LONGEST_EPISODE = 100
"""In actions, where neither Gymnasium's registry nor a setting has a limit."""


class GymnasiumSession(Session):
    """An episode. Forks replay it in a Gymnasium environment of their own, with the same seed.

    An action that isn't understood never reaches the Gymnasium environment. It counts as a step, so that an agent that
    talks nonsense comes to an end.

    Attributes:
        env: the Gymnasium environment, this session's own.
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
        if not math.isfinite(float(reward)):
            raise EnvironmentFailure(
                f"{self.environment.id!r} gave the reward {reward} for {action!r} in task {self.task.id!r}",
                "Rewards have to be finite numbers: wrap it in a gymnasium.wrappers.TransformReward.",
                code="bad-reward",
                reward=reward,
                action=action,
                task=self.task.id,
            )
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
        return Observation(text=environment.observe(seen, info), actions=environment.admissible(info))

    def release(self) -> None:
        """Release what the session holds."""
        self.env.close()
