"""The interfaces. Third-party code subclasses one of these and registers the subclass."""

from eef_framework.interfaces.attributor import Attributor, Simulate
from eef_framework.interfaces.component import Component
from eef_framework.interfaces.environment import Environment, Session, replay
from eef_framework.interfaces.executor import EpisodeSetup, EpisodeSpec, Executor, PlayEpisode, ScoreActions
from eef_framework.interfaces.expert import Expert
from eef_framework.interfaces.filter import Filter
from eef_framework.interfaces.policy import Policy, Sampling, TrainablePolicy
from eef_framework.interfaces.tracker import TrackedRun, Tracker
from eef_framework.interfaces.trainer import ProgressCallback, Trainer

__all__ = [
    "Attributor",
    "Component",
    "Environment",
    "EpisodeSetup",
    "EpisodeSpec",
    "Executor",
    "Expert",
    "Filter",
    "PlayEpisode",
    "Policy",
    "ProgressCallback",
    "Sampling",
    "ScoreActions",
    "Session",
    "Simulate",
    "TrackedRun",
    "Tracker",
    "TrainablePolicy",
    "Trainer",
    "replay",
]
