"""Gymnasium both ways. Its library is loaded where one of its environments is made, not before.

`GymnasiumEnvironment` makes an `Environment` of any Gymnasium environment with text, or what can be put into words.
`eef_framework.gym.env.EefEnv` makes a Gymnasium environment of any `Environment`; importing `eef_framework.gym.envs`
registers those that are installed: `gymnasium.make("eef_framework.gym.envs:eef/Shop-v0")`.
"""

from eef_framework.gym.environment import GymnasiumEnvironment
from eef_framework.gym.session import GymnasiumSession

__all__ = ["GymnasiumEnvironment", "GymnasiumSession"]
