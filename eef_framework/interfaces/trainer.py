"""Trainer: fits a model to examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from eef_framework.interfaces.component import Component
from eef_framework.interfaces.policy import TrainablePolicy
from eef_framework.records import Checkpoint, Example, TrainResult

ProgressCallback = Callable[[int, int, str], None]
"""Called as `progress(done, total, "loss 0.41")`."""


class Trainer(Component):
    """Trainer: fits a model to examples. `TokenizedDataset` turns examples into tokens, loss weights and batches."""

    needs_pairs: ClassVar[bool] = False
    """Whether it learns from pairs: examples with a `rejected` conversation. Other trainers ignore `rejected`."""

    policies: ClassVar[Sequence[type[TrainablePolicy]]] = ()
    """The policies whose checkpoints it trains; empty if it doesn't say. A run with another one is refused at once."""

    @abstractmethod
    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: ProgressCallback
    ) -> TrainResult:
        """Train from a checkpoint and write the new one to `output`.

        Args:
            examples: the training examples; at least one has a turn with a weight.
            start: the checkpoint to start from.
            output: folder for the new checkpoint, which exists. It may contain files of an interrupted training:
                continue from them with the same result, or replace them.
            seed: for the order of examples and all other randomness.
            progress: call it after each step, at least once.

        Returns:
            Steps, tokens and losses, as far as the trainer counts them; `TrainResult()` is enough.

        Raises:
            NothingToTrain: no example is left, for example because all are too long.
        """
