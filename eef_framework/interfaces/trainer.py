"""Whoever fits a model to examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from eef_framework.interfaces.component import Component
from eef_framework.records import Checkpoint, Cost, Example

Progress = Callable[[int, int, str], None]
"""Called as `progress(done, total, "loss 0.41")` while something goes on."""


class Trainer(Component):
    """A training method."""

    needs_pairs: ClassVar[bool] = False
    """Whether it learns from pairs: examples with a `rejected` conversation. The others pass over that."""

    @abstractmethod
    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: Progress
    ) -> tuple[Checkpoint, Cost]:
        """Train from a checkpoint and write the result.

        Args:
            examples: what to learn.
            start: where to start.
            output: folder for the new checkpoint, and for a log of the training (`training.jsonl`). It may hold what an
                interrupted training left: go on from there with the same result, or overwrite it.
            seed: for the order of examples and everything else that is random.
            progress: to be called now and then.

        Returns:
            The new checkpoint and what it cost.

        Raises:
            NothingToTrain: no example has a token to learn.
        """
