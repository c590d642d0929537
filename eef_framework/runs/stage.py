"""A stage of a run: a folder that is complete if and only if its manifest exists."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import Field, ValidationError

from eef_framework.errors import CorruptFile
from eef_framework.records import Cost, Record
from eef_framework.records.base import Info, Row
from eef_framework.runs.atomic import write_text

MANIFEST = "stage.json"


class StageManifest(Row):
    """What a complete stage says about itself. Written last."""

    stage: str
    cost: Cost
    """What the stage consumed. The time is that of the start which completed it."""
    rows: dict[str, int] = Field(default_factory=dict)
    """Number of rows of each file of records."""
    info: Info = Field(default_factory=dict)


class Stage:
    """One folder of a run directory.

    Args:
        path: the folder; made when something is written to it.
        name: path within the run, such as `methods/eef/1/explore`.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._started = time.monotonic()

    @property
    def manifest(self) -> StageManifest | None:
        """What the stage says about itself; None as long as it isn't complete."""
        path = self.path / MANIFEST
        if not path.exists():
            return None
        try:
            return StageManifest.model_validate_json(path.read_bytes())
        except ValidationError as cause:
            raise CorruptFile(
                f"{path} is not the manifest of a stage: {cause.errors()[0]['msg']}",
                "Delete that file and repeat the command: the stage's rows are used as far as they go.",
            ) from cause

    @property
    def done(self) -> bool:
        """Whether the stage is complete."""
        return self.manifest is not None

    def begin(self) -> None:
        """Start the clock. Until then it runs from when this object was made."""
        self._started = time.monotonic()

    def finish(self, cost: Cost, rows: dict[str, int], info: Info | None = None) -> None:
        """Declare the stage complete."""
        cost = cost.model_copy(update={"seconds": round(time.monotonic() - self._started, 3)})
        manifest = StageManifest(stage=self.name, cost=cost, rows=rows, info=info or {})
        write_text(self.path / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


class StageFiles(Record):
    """Names of the files of records within stages."""

    trajectories: str = "trajectories.jsonl"
    simulations: str = "simulations.jsonl"
    attributions: str = "attributions.jsonl"
    examples: str = "examples.jsonl"


FILES = StageFiles()
