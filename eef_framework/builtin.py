"""The built-in components, registered like those of any plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from eef_framework.interfaces import Environment, Executor, Filter, Policy, Tracker, TrainablePolicy, Trainer
from eef_framework.plugins.hookspecs import hookimpl


@hookimpl
def register_environments(register: Callable[[type[Environment]], None]) -> None:
    """Gymnasium's environments."""
    from eef_framework.gym import GymnasiumEnvironment

    register(GymnasiumEnvironment)


@hookimpl
def register_policies(register: Callable[[type[Policy] | type[TrainablePolicy]], None]) -> None:
    """Models of the transformers library, and models on a server."""
    from eef_framework.policies.chat_completions import OpenAIPolicy
    from eef_framework.policies.transformers_policy import TransformersPolicy

    register(TransformersPolicy)
    register(OpenAIPolicy)


@hookimpl
def register_trainers(register: Callable[[type[Trainer]], None]) -> None:
    """Supervised fine-tuning, and direct preference optimisation."""
    from eef_framework.training.dpo import DpoTrainer
    from eef_framework.training.sft import SftTrainer

    register(SftTrainer)
    register(DpoTrainer)


@hookimpl
def register_filters(register: Callable[[type[Filter]], None]) -> None:
    """Filters that suit every task."""
    from eef_framework.filters import (
        Balance,
        CapPerTask,
        Deduplicate,
        DropSimilar,
        DropUnparsed,
        LimitLength,
        WeighTrajectories,
    )

    for each in (Balance, CapPerTask, Deduplicate, DropSimilar, DropUnparsed, LimitLength, WeighTrajectories):
        register(each)


@hookimpl
def register_executors(register: Callable[[type[Executor]], None]) -> None:
    """This process and its threads."""
    from eef_framework.rollout.thread_executor import ThreadExecutor

    register(ThreadExecutor)


@hookimpl
def register_trackers(register: Callable[[type[Tracker]], None]) -> None:
    """A file in the run directory, TensorBoard, Weights & Biases, MLflow and trackio."""
    from eef_framework.tracking import FileTracker, MlflowTracker, TensorBoardTracker, TrackioTracker, WandbTracker

    for each in (FileTracker, TensorBoardTracker, WandbTracker, MlflowTracker, TrackioTracker):
        register(each)


@hookimpl
def register_recipes(register: Callable[[Path | Mapping[str, Path]], None]) -> None:
    """The methods: eef, its baselines and rivals."""
    register(Path(__file__).parent / "recipes")
