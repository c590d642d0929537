"""The model that training starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Component, ProgressCallback, TrainablePolicy
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phase import Phase, PhaseResult
from eef_framework.pipeline.rows import Rows, read_some
from eef_framework.pipeline.vocabulary import vocabulary
from eef_framework.records import Checkpoint, Trajectory
from eef_framework.seeds import derive


@dataclass(kw_only=True)
class InitialCheckpoint(Phase):
    """Creates or finds the model that training starts from.

    Attributes:
        demonstrations: the expert's trajectories, for models that get their vocabulary from them; None for models that
            don't need them.
        folder: output folder, if the model is created here.
    """

    title: str = "model to start from"
    demonstrations: Rows[Trajectory] | None
    folder: Path

    charged: bool = False
    _made: Checkpoint | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, once the phase is done."""
        if self._made is None:
            assert self.stage is not None
            assert self.stage.manifest is not None
            self._made = Checkpoint(path=self.stage.path / str(self.stage.manifest.info["path"]), name="base")
        return self._made

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return the policy."""
        return (context.policy,)

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Get it from the policy.

        Raises:
            ConfigError: the policy has no weights.
        """
        policy = context.policy
        if not isinstance(policy, TrainablePolicy):
            raise ConfigError(
                f"policy {policy.component_name()!r} has no weights to train",
                "Name another policy.",
                code="policy-without-weights",
            )
        demonstrations = read_some(self.demonstrations) if self.demonstrations else ()
        instructions, format = context.environment.instructions, context.format
        words = vocabulary(demonstrations, instructions, format) if self.demonstrations else ()
        self._made = policy.initial_checkpoint(words, self.folder, derive(context.config.seed, "base"))
        path = self._made.path
        if self.stage is not None and path.is_relative_to(self.stage.path):  # so that a run directory can be moved
            path = path.relative_to(self.stage.path)
        return PhaseResult(info={"path": str(path)})
