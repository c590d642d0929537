"""Training: the clone, and the fine-tuning at the end of each iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eef_framework.config.schema import ComponentSpec, RunConfig
from eef_framework.errors import NothingToTrain
from eef_framework.formats import own_kind
from eef_framework.interfaces import Component, ProgressCallback
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phase import Phase, PhaseResult, Weights
from eef_framework.pipeline.phases.select import cloning_examples, no_turn_with_loss
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.solutions import demonstrated
from eef_framework.records import Checkpoint, Cost, Example, TrainResult, Trajectory
from eef_framework.runs import TRAINING_LOG
from eef_framework.seeds import derive
from eef_framework.training.example_files import check_ids, rows_named
from eef_framework.training.run import run_trainer


@dataclass(kw_only=True)
class Train(Phase):
    """Trains from a checkpoint on a file of examples.

    Attributes:
        trainer: its name and settings.
        examples: what to learn.
        start: where to start.
        folder: where the new checkpoint goes.
        name: what the checkpoint is called.
        seed_names: what the seed is derived by.
        result: what the trainer reports, once the phase is done.
    """

    title: str = "train"
    trainer: ComponentSpec
    examples: Rows[Example]
    start: Weights
    folder: Path
    name: str = ""
    seed_names: tuple[str | int, ...] = ("tune", 1)
    result: TrainResult = field(default_factory=TrainResult)

    @property
    def training_log(self) -> Path:
        """The log that the trainer writes."""
        return self.folder / TRAINING_LOG

    @property
    def checkpoint(self) -> Checkpoint:
        """The trained model, once the phase is done."""
        return Checkpoint(path=self.folder, name=self.name)

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return the trainer."""
        return (context.trainer(self.trainer),)

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Let the trainer train."""
        trainer = context.trainer(self.trainer)
        seed = derive(context.config.seed, *self.seed_names)
        with rows_named(self.examples.path):
            examples = self.examples.read()
            if own_kind(self.examples.path) is not None:  # those of other formats got ids of their own
                check_ids(self.examples.path)
            self.result = run_trainer(trainer, examples, self.start.checkpoint, self.folder, seed, progress, self.name)
        cost = Cost(trained_tokens=self.result.trained_tokens, seconds=self.result.seconds)
        return PhaseResult(cost, info={"examples": len(examples), "steps": self.result.steps})


@dataclass(kw_only=True)
class Clone(Train):
    """Phase 1: imitates the expert's successes (or its failures as well, with `clone.on`).

    Attributes:
        variant: the method.
        demonstrations: the expert's trajectories.
    """

    title: str = "clone the expert"
    name: str = "clone"
    seed_names: tuple[str | int, ...] = ("clone",)
    variant: RunConfig
    demonstrations: Rows[Trajectory]

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Write down what is imitated, and train on it."""
        demonstrations = self.demonstrations.read()
        examples = cloning_examples(context, self.variant, demonstrations)
        if not examples:
            threshold = context.config.success.threshold
            if chosen := demonstrated(demonstrations, self.variant.clone.on, context.config.success):
                raise no_turn_with_loss(len(chosen))
            raise NothingToTrain(
                f"the expert solved none of the {len(demonstrations)} training tasks (a reward of {threshold:g} or "
                "more), so there is nothing to imitate",
                "Use a better expert, easier or more tasks (collect.tasks), or a lower success.threshold; with "
                "clone.on=all its failures are imitated as well, with clone.on=none nothing is.",
                code="no-expert-success",
                demonstrations=len(demonstrations),
                threshold=threshold,
            )
        self.examples.write(examples)
        return super().work(context, progress)
