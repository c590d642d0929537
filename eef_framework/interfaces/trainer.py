"""Trainer: fits a model to examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from eef_framework.interfaces.component import Component
from eef_framework.records import Checkpoint, Cost, Example

Progress = Callable[[int, int, str], None]
"""Called as `progress(done, total, "loss 0.41")` to report progress."""


class Trainer(Component):
    """Trainer: fits a model to examples."""

    needs_pairs: ClassVar[bool] = False
    """Whether it learns from pairs: examples with a `rejected` conversation. Other trainers ignore `rejected`."""

    @abstractmethod
    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: Progress
    ) -> tuple[Checkpoint, Cost]:
        """Train from a checkpoint and write the result.

        Args:
            examples: the training examples.
            start: the checkpoint to start from.
            output: folder for the new checkpoint, and for a log of the training (`training.jsonl`). It may contain what
                an interrupted training left: continue from there with the same result, or replace it.
            seed: for the order of examples and all other randomness.
            progress: call it regularly.

        Returns:
            The new checkpoint and its cost.

        Raises:
            NothingToTrain: no example has a token with loss.
        """
