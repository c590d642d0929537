"""Playing: one episode, many episodes, simulations from intermediate states."""

from eef_framework.rollout.episode import Player
from eef_framework.rollout.ids import expert_id, simulation_id
from eef_framework.rollout.simulate import Simulator

__all__ = ["Player", "Simulator", "expert_id", "simulation_id"]
