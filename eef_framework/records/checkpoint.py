"""Checkpoint: the location of a model's weights."""

from __future__ import annotations

from pathlib import Path

from eef_framework.records.base import Record


class Checkpoint(Record):
    """A folder with a model and its tokenizer, in the layout of transformers (safetensors)."""

    path: Path
    name: str = ""
    """For tables and `Trajectory.actor`: `base`, `clone`, `eef-1`."""
