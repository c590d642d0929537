"""Layout of a run directory: the only module that knows where files and folders are.

config.yaml  baselines.yaml  run.json  metrics.json  report.html
answers/                                                   answers of servers, a file for each model
figures.jsonl  tensorboard/  wandb/  tracked.json          figures for trackers, and which of them were sent
collect/  base/  clone/  evaluate/{expert,clone}/          stages that all methods share
methods/NAME/{clone,evaluate}/                             a method that has its own clone
methods/NAME/ITERATION/{explore,select,world-model,tune,evaluate}/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from eef_framework.runs.file_names import (
    CHECKPOINT,
    FILES,
    LOCK,
    PREPARATION,
    RUN_BASELINES,
    RUN_CONFIG,
    RUN_MANIFEST,
    TRAINING_LOG,
)
from eef_framework.runs.stage import Stage

PhaseName = Literal["collect", "base", "clone", "explore", "select", "world-model", "tune", "evaluate"]
"""The phases that write a stage, in the order of a run."""

ORDER: tuple[PhaseName, ...] = get_args(PhaseName)


@dataclass(frozen=True)
class StageKey:
    """Identifies a stage of a run.

    Attributes:
        phase: the phase that writes it.
        method: its method; empty if all methods share it.
        iteration: its iteration; 0 before the first.
        expert: for an evaluation: whether the expert plays instead of the agent.
    """

    phase: PhaseName
    method: str = ""
    iteration: int = 0
    expert: bool = False

    @property
    def path(self) -> str:
        """The stage's folder within the run, such as `methods/eef/1/explore`."""
        if self.method:
            parts = ("methods", self.method, *([str(self.iteration)] if self.iteration else ()), self.phase)
        elif self.phase == "evaluate":
            parts = ("evaluate", "expert" if self.expert else "clone")
        else:
            parts = (self.phase,)
        return "/".join(parts)

    @classmethod
    def of_path(cls, path: str) -> Self | None:
        """Return the stage with this folder; None if it isn't the folder of a stage."""
        match path.split("/"):
            case ["evaluate", "expert" | "clone" as who]:
                return cls("evaluate", expert=who == "expert")
            case ["methods", method, "clone" | "evaluate" as phase]:
                return cls(phase, method)
            case ["methods", method, number, phase] if number.isdecimal() and phase in ORDER:
                return cls(phase, method, int(number))
            case ["collect" | "base" | "clone" as phase]:
                return cls(phase)
        return None


class RunLayout:
    """The files and folders of one run.

    Args:
        path: the run directory. It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / RUN_CONFIG
        self.baselines = path / RUN_BASELINES
        self.manifest = path / RUN_MANIFEST
        self.metrics = path / "metrics.json"
        self.report = path / "report.html"
        self.lock = path / LOCK
        self.figures = path / "figures.jsonl"
        self.tensorboard = path / "tensorboard"
        self.tracked = path / "tracked.json"
        self.answers = path / "answers"

    def stage(self, key: StageKey) -> Stage:
        """Return a stage."""
        return Stage(self.path / key.path, key.path)

    def stages(self) -> list[StageKey]:
        """Return the stages that have a folder: shared ones first, then method by method (by name) and iteration."""
        shared = [StageKey("collect"), StageKey("base"), StageKey("clone")]
        shared += [StageKey("evaluate", expert=True), StageKey("evaluate")]
        return [key for key in (*shared, *self._of_methods()) if (self.path / key.path).is_dir()]

    def methods(self) -> list[str]:
        """Return the names of the methods that have a folder, sorted."""
        folder = self.path / "methods"
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def iterations(self, method: str) -> list[int]:
        """Return the iterations of a method that have a folder, sorted."""
        entries = [entry for entry in self.method(method).iterdir() if entry.is_dir()]
        return sorted(int(entry.name) for entry in entries if entry.name.isdecimal())

    def method(self, name: str) -> Path:
        """Return the folder of a method."""
        return self.path / "methods" / name

    def trajectories(self, key: StageKey) -> Path:
        """Return the file of episodes of a stage that plays: demonstrations, explorations, evaluations."""
        return self.path / key.path / (FILES.simulations if key.phase == "explore" else FILES.trajectories)

    def attributions(self, method: str, iteration: int) -> Path:
        """Return the file of verdicts of a method's iteration."""
        return self.path / StageKey("explore", method, iteration).path / FILES.attributions

    def examples(self, method: str, iteration: int) -> Path:
        """Return the file of a training's examples; iteration 0 is the clone's (method empty: the shared one)."""
        key = StageKey("select", method, iteration) if iteration else StageKey("clone", method)
        return self.path / key.path / FILES.examples

    def predictions(self, method: str, iteration: int) -> Path:
        """Return the file of a method's examples of observations to predict."""
        return self.path / StageKey("select", method, iteration).path / FILES.predictions

    def checkpoint(self, key: StageKey) -> Path:
        """Return the folder of the weights that a stage writes."""
        return self.path / key.path / CHECKPOINT

    def training_log(self, method: str, iteration: int, phase: Literal["tune", "world-model"] = "tune") -> Path:
        """Return the file of a training's losses; iteration 0 is the clone's."""
        key = StageKey(phase, method, iteration) if iteration else StageKey("clone", method)
        return self.checkpoint(key) / TRAINING_LOG

    def training_preparation(self, method: str, iteration: int, phase: Literal["tune", "world-model"] = "tune") -> Path:
        """Return the file with counts of a training's examples; iteration 0 is the clone's."""
        return self.training_log(method, iteration, phase).with_name(PREPARATION)

    def _of_methods(self) -> Iterator[StageKey]:
        for method in self.methods():
            yield from (StageKey("clone", method), StageKey("evaluate", method))
            for iteration in self.iterations(method):
                for phase in ORDER[3:]:
                    yield StageKey(phase, method, iteration)
