"""The result of a training."""

from __future__ import annotations

from pydantic import Field

from eef_framework.records.base import Record
from eef_framework.records.checkpoint import Checkpoint


class TrainResult(Record):
    """What a trainer returns. All fields are optional: the framework fills in what it knows itself."""

    checkpoint: Checkpoint | None = None
    """The new checkpoint. Filled in by the framework: it is in the folder `output`."""
    steps: int = Field(default=0, ge=0)
    """Number of optimisation steps. If it is 0, the framework takes the number last passed to `progress`."""
    trained_tokens: int = Field(default=0, ge=0)
    """Number of tokens processed by the model, excluding padding; 0 if unknown. Part of a method's cost."""
    losses: tuple[float, ...] = ()
    """Loss of each step. The framework writes them to `training.jsonl`, unless the trainer wrote that file itself."""
    seconds: float = Field(default=0.0, ge=0)
    """Wall-clock time, measured by the framework."""

    @property
    def final_loss(self) -> float | None:
        """The loss of the last step, if the trainer reported losses."""
        return self.losses[-1] if self.losses else None
