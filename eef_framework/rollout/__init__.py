"""Playing: one episode, many episodes, simulations from intermediate states."""

from eef_framework.rollout.attribution import attribute
from eef_framework.rollout.awaited import AwaitedSimulate
from eef_framework.rollout.concurrency import as_they_end, merged
from eef_framework.rollout.demonstrations import continuation_id, continuations, demonstrations
from eef_framework.rollout.episode import EpisodeRunner
from eef_framework.rollout.episode_costs import with_costs_of
from eef_framework.rollout.ids import expert_id, simulation_id
from eef_framework.rollout.portable_components import portable
from eef_framework.rollout.recorded import RecordedSimulations
from eef_framework.rollout.scripted import ScriptedExpert
from eef_framework.rollout.simulate import Simulations, Simulator
from eef_framework.rollout.thread_executor import ThreadExecutor
from eef_framework.rollout.worker import open_portable

__all__ = [
    "AwaitedSimulate",
    "EpisodeRunner",
    "RecordedSimulations",
    "ScriptedExpert",
    "Simulations",
    "Simulator",
    "ThreadExecutor",
    "as_they_end",
    "attribute",
    "continuation_id",
    "continuations",
    "demonstrations",
    "expert_id",
    "merged",
    "open_portable",
    "portable",
    "simulation_id",
    "with_costs_of",
]
