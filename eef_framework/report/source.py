"""What there is in a run directory, read without trusting it: whatever is missing or broken becomes a remark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import ValidationError

from eef_framework.errors import CorruptFile, StorageError, storage
from eef_framework.records import Record, RunMetrics
from eef_framework.runs.rows import parse_row
from eef_framework.runs.stage import FILES

R = TypeVar("R", bound=Record)
Phase = Literal["demonstration", "exploration", "test"]


@dataclass(frozen=True)
class Group:
    """A file of trajectories."""

    path: Path
    phase: Phase
    label: str
    """Who played: `expert`, `clone`, or the training they belong to, such as `eef 1`."""


@dataclass(frozen=True)
class Training:
    """A fine-tuning: of the clone, or at the end of a method's iteration."""

    label: str
    """`clone`, `eef 1`."""
    method: str
    """Empty for the clone, which all methods share."""
    iteration: int
    folder: Path

    @property
    def examples(self) -> Path:
        """The file of what it learnt from."""
        return self.folder / ("select" if self.method else "") / FILES.examples

    @property
    def log(self) -> Path:
        """The file of its losses."""
        return self.folder / ("tune" if self.method else "") / "checkpoint" / "training.jsonl"

    @property
    def attributions(self) -> Path:
        """The file of the verdicts on the expert's actions that precede it."""
        return self.folder / "explore" / FILES.attributions


class Source:
    """A run directory as the report reads it.

    Args:
        run: the folder.

    Attributes:
        manifest: `run.json`, empty if absent.
        config: `config.yaml`, empty if absent.
        metrics: `metrics.json`, None if absent, as in a run that isn't finished.
        problems: what couldn't be read, as sentences for the page.

    Raises:
        StorageError: there is no such folder.
    """

    def __init__(self, run: Path) -> None:
        if not run.is_dir():
            raise StorageError(f"{str(run)!r} is no run directory", "Give the folder that `eef-run` wrote (--out).")
        self.run = run
        self.problems: list[str] = []
        self.manifest = self._mapping("run.json", json.loads)
        self.config = self._mapping("config.yaml", yaml.safe_load)
        self.metrics = self._metrics()

    @property
    def method(self) -> str:
        """The main method; the other ones are its baselines."""
        return str(self.config.get("method") or next(iter(self._methods()), "eef"))

    @property
    def clone_label(self) -> str:
        """What the clone is called in the table of results, where all methods share its row."""
        shared = [row.label for row in self.metrics.rows if not row.method] if self.metrics else []
        return next((label for label in shared if label != "expert"), "clone")

    def trainings(self) -> list[Training]:
        """Return the fine-tunings that left a folder: the clone's, then the main method's, then the baselines'."""
        found = [Training("clone", "", 0, self.run / "clone")] if (self.run / "clone").is_dir() else []
        for method in self._methods():
            folder = self.run / "methods" / method
            iterations = sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdecimal())
            found += [Training(f"{method} {i}", method, i, folder / str(i)) for i in iterations]
        return found

    def groups(self) -> list[Group]:
        """Return the files of trajectories there are: demonstrations, tests, then iteration by iteration."""
        groups = [
            Group(self.run / "collect" / FILES.trajectories, "demonstration", "expert"),
            Group(self.run / "evaluate" / "expert" / FILES.trajectories, "test", "expert"),
            Group(self.run / "evaluate" / "clone" / FILES.trajectories, "test", "clone"),
        ]
        for training in self.trainings():
            if training.method:
                groups += [
                    Group(training.folder / "explore" / FILES.simulations, "exploration", training.label),
                    Group(training.folder / "evaluate" / FILES.trajectories, "test", training.label),
                ]
        return [group for group in groups if group.path.exists()]

    def rows(self, path: Path, record: type[R]) -> Iterator[R]:
        """Read a file of records one by one. Lines that don't read are counted and left out; so is an absent file."""
        if not path.exists():
            return
        bad = torn = 0
        with storage(path, "reading"), path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    yield parse_row(line, record, path, number)
                except CorruptFile:
                    complete = line.endswith(b"\n")
                    bad, torn = bad + complete, torn + (not complete)
        if bad:
            self.problems.append(
                f"{self._name(path)}: {bad} unreadable line{'s' * (bad > 1)}, left out everywhere below."
            )
        if torn:
            self.problems.append(
                f"{self._name(path)}: the last line is incomplete (the run is still writing, or was stopped)."
            )

    def losses(self, training: Training) -> list[tuple[float, float]]:
        """Return (step, loss) of a training, as far as it was logged."""
        if not training.log.exists():
            return []
        points, bad = [], 0
        for line in training.log.read_bytes().splitlines():
            try:
                row = json.loads(line)
                points.append((float(row["step"]), float(row["loss"])))
            except (ValueError, KeyError, TypeError):
                bad += bool(line.strip())
        if bad and not points:
            self.problems.append(f"{self._name(training.log)}: no line has a step and a loss.")
        return points

    def preparation(self, training: Training) -> dict[str, Any]:
        """Return what a training's preparation counted (examples, tokens, what was left out), empty if unknown."""
        try:
            found = json.loads(training.log.with_name("preparation.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _methods(self) -> list[str]:
        """Return the methods there are folders of, the main one first."""
        folder = self.run / "methods"
        names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        return sorted(names, key=lambda name: name != self.config.get("method"))

    def _mapping(self, name: str, parse: Any) -> dict[str, Any]:
        try:
            data = parse((self.run / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.problems.append(f"{name} is missing.")
            return {}
        except (OSError, ValueError, yaml.YAMLError) as cause:
            self.problems.append(f"{name} doesn't read: {cause}")
            return {}
        return data if isinstance(data, dict) else {}

    def _metrics(self) -> RunMetrics | None:
        path = self.run / "metrics.json"
        if not path.exists():
            return None
        try:
            return RunMetrics.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as cause:
            self.problems.append(f"metrics.json doesn't read: {cause}")
            return None

    def _name(self, path: Path) -> str:
        return path.relative_to(self.run).as_posix()
