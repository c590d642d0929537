"""Fine-tune language-model agents by learning from an expert's failures as well as its successes.

Public API for plugins and scripts: records, contracts, errors, the registry, the configuration, and `run`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from eef_framework.errors import ConfigError, EefError, PluginError, UnknownName, WorkerLost
from eef_framework.interfaces import (
    Attributor,
    Component,
    Environment,
    EpisodeSetup,
    EpisodeSpec,
    Executor,
    Expert,
    Filter,
    PlayEpisode,
    Policy,
    ProgressCallback,
    Sampling,
    ScoreActions,
    Session,
    Simulate,
    TrackedRun,
    Tracker,
    TrainablePolicy,
    Trainer,
    replay,
)
from eef_framework.paths import UserPath, UserPathOrName
from eef_framework.records import (
    Attribution,
    Checkpoint,
    Conversation,
    Cost,
    Evidence,
    Example,
    FreeText,
    Message,
    Observation,
    Origin,
    Probe,
    Response,
    RunMetrics,
    Segment,
    State,
    StateValue,
    Step,
    SuccessRule,
    Task,
    Tool,
    TrainResult,
    Trajectory,
    Verdict,
    fingerprint,
)
from eef_framework.seeds import derive

if TYPE_CHECKING:
    from eef_framework.config.loading import load_config
    from eef_framework.config.schema import RunConfig
    from eef_framework.evaluation.run_results import RunResults, load_run
    from eef_framework.pipeline import run
    from eef_framework.plugins import Registry, hookimpl, load_plugins
    from eef_framework.rollout import ScriptedExpert, expert_id, open_portable, portable
    from eef_framework.training.collate import TokenizedExample, TrainingBatch
    from eef_framework.training.dataset import TokenizedDataset

_LAZY = {
    "Registry": "eef_framework.plugins",
    "RunConfig": "eef_framework.config.schema",
    "RunResults": "eef_framework.evaluation.run_results",
    "ScriptedExpert": "eef_framework.rollout",
    "TokenizedDataset": "eef_framework.training.dataset",
    "TokenizedExample": "eef_framework.training.collate",
    "TrainingBatch": "eef_framework.training.collate",
    "expert_id": "eef_framework.rollout",
    "hookimpl": "eef_framework.plugins",
    "load_config": "eef_framework.config.loading",
    "load_plugins": "eef_framework.plugins",
    "load_run": "eef_framework.evaluation.run_results",
    "open_portable": "eef_framework.rollout",
    "portable": "eef_framework.rollout",
    "run": "eef_framework.pipeline",
}
# Imported on first access: these modules depend on the contracts, and plugins import the contracts.

__all__ = [
    "Attribution",
    "Attributor",
    "Checkpoint",
    "Component",
    "ConfigError",
    "Conversation",
    "Cost",
    "EefError",
    "Environment",
    "EpisodeSetup",
    "EpisodeSpec",
    "Evidence",
    "Example",
    "Executor",
    "Expert",
    "Filter",
    "FreeText",
    "Message",
    "Observation",
    "Origin",
    "PlayEpisode",
    "PluginError",
    "Policy",
    "Probe",
    "ProgressCallback",
    "Registry",
    "Response",
    "RunConfig",
    "RunMetrics",
    "RunResults",
    "Sampling",
    "ScoreActions",
    "ScriptedExpert",
    "Segment",
    "Session",
    "Simulate",
    "State",
    "StateValue",
    "Step",
    "SuccessRule",
    "Task",
    "TokenizedDataset",
    "TokenizedExample",
    "Tool",
    "TrackedRun",
    "Tracker",
    "TrainResult",
    "TrainablePolicy",
    "Trainer",
    "TrainingBatch",
    "Trajectory",
    "UnknownName",
    "UserPath",
    "UserPathOrName",
    "Verdict",
    "WorkerLost",
    "derive",
    "expert_id",
    "fingerprint",
    "hookimpl",
    "load_config",
    "load_plugins",
    "load_run",
    "open_portable",
    "portable",
    "replay",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
