"""Checkpoint: the location of a model's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from eef_framework.records.base import Record

JSON_FILE = "checkpoint.json"
"""Name of the file in a checkpoint of plain data."""


class Checkpoint(Record):
    """A folder with a model: in the layout of transformers (safetensors), or in that of the policy and its trainer."""

    path: Path
    name: str = ""
    """For tables and `Trajectory.actor`: `base`, `clone`, `eef-1`."""

    @classmethod
    def of_json(cls, output: Path, data: Any, name: str = "") -> Self:
        """Write a checkpoint of plain data, for small models of one's own. Equal data give equal files.

        Args:
            output: the folder to write to; created if it doesn't exist.
            data: anything that JSON can represent.
            name: its name, for tables.
        """
        output.mkdir(parents=True, exist_ok=True)
        (output / JSON_FILE).write_text(json.dumps(data, sort_keys=True), encoding="utf-8")
        return cls(path=output, name=name)

    def read_json(self) -> Any:
        """Return the data of a checkpoint that `of_json` wrote."""
        return json.loads((self.path / JSON_FILE).read_text(encoding="utf-8"))
