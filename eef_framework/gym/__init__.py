"""Gymnasium, both ways. Its library is imported when one of its environments is created.

- `from_gymnasium`: `GymnasiumEnvironment`, an `Environment` that wraps a Gymnasium environment.
- `to_gymnasium`: `EefEnv`, a Gymnasium environment that wraps an `Environment`.
- `registration`: registers every installed environment with Gymnasium when it is imported, so that
  `gymnasium.make("eef_framework.gym.registration:eef/Shop-v0")` works.
"""

from eef_framework.gym.from_gymnasium import GymnasiumEnvironment, GymnasiumSession

__all__ = ["GymnasiumEnvironment", "GymnasiumSession"]
