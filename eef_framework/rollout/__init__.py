"""Playing: one episode, many episodes, simulations from intermediate states."""

from eef_framework.rollout.episode import Player
from eef_framework.rollout.ids import expert_id, simulation_id
from eef_framework.rollout.recorded import Recorded
from eef_framework.rollout.scripted import ScriptedExpert
from eef_framework.rollout.simulate import Simulations, Simulator

__all__ = ["Player", "Recorded", "ScriptedExpert", "Simulations", "Simulator", "expert_id", "simulation_id"]
