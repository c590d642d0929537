"""Where an interrupted training goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.records import Checkpoint, fingerprint
from eef_framework.training.collate import Prepared

if TYPE_CHECKING:
    from eef_framework.training.sft import SftTrainer


def training_key(settings: SftTrainer, examples: Sequence[Prepared], start: Checkpoint, seed: int) -> str:
    """Return what tells one training from another: everything its result depends on."""
    files = sorted(start.path.glob("*")) if start.path.is_dir() else []
    weights = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    contents = [(example.id, example.ids, example.places, example.weights) for example in examples]
    return fingerprint(repr((settings.settings(), contents, str(start.path), weights, seed)))


class SavePoint:
    """A file with the state of a training.

    Args:
        path: the file.
        key: which training it is of.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def read(self) -> dict[str, Any] | None:
        """Return the state that was written, or None if there is none, or that of another training."""
        import torch

        if not self._path.is_file():
            return None
        state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        return state["training"] if state["key"] == self._key else None

    def write(self, state: dict[str, Any]) -> None:
        """Write a state in place of the one before. An interruption leaves one of them."""
        import torch

        new = self._path.with_suffix(".new")
        torch.save({"key": self._key, "training": state}, new)
        os.replace(new, self._path)

    def remove(self) -> None:
        """Forget the state: the training is complete."""
        self._path.unlink(missing_ok=True)
