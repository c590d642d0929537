"""Reads a run directory without trusting it: everything missing or corrupt becomes a remark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import ValidationError

from eef_framework.errors import CorruptFile, StorageError, storage
from eef_framework.records import RunMetrics, VersionedRecord
from eef_framework.runs import RunLayout, StageKey
from eef_framework.runs.jsonl import parse_row

R = TypeVar("R", bound=VersionedRecord)
Phase = Literal["demonstration", "exploration", "test"]


@dataclass(frozen=True)
class Group:
    """A file of trajectories."""

    path: Path
    phase: Phase
    label: str
    """Who played: `expert`, `clone`, or the training they belong to, such as `eef 1`."""
    method: str
    """The method they belong to; empty where all methods share them."""


@dataclass(frozen=True)
class Training:
    """A fine-tuning: of the clone, or at the end of a method's iteration."""

    label: str
    """`clone`, `eef 1`."""
    method: str
    """Empty for the clone, which all methods share."""
    iteration: int
    examples: Path
    """The file of what it learned from."""
    log: Path
    """The file of its losses."""
    preparation: Path
    """The file that counts what it was given."""
    attributions: Path
    """The file of the verdicts on the expert's actions that precede it."""


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
        StorageError: the folder doesn't exist.
    """

    def __init__(self, run: Path) -> None:
        if not run.is_dir():
            raise StorageError(
                f"there is no folder {str(run)!r}",
                "Give the folder that `eef-run` wrote (--out).",
                code="not-a-run",
                path=str(run),
            )
        self.run = run
        self.layout = RunLayout(run)
        self.problems: list[str] = []
        self.manifest = self._mapping(self.layout.manifest, json.loads)
        self.config = self._mapping(self.layout.config, yaml.safe_load)
        self.metrics = self._metrics()

    @property
    def method(self) -> str:
        """The main method; the other ones are its baselines."""
        return str(self.config.get("method") or next(iter(self._methods()), "eef"))

    @property
    def evaluated_on(self) -> str:
        """Which tasks the results are on, in words."""
        split, trained = self._split("evaluate", "test"), self._split("collect", "train")
        return f"training tasks (split {split!r})" if split == trained else "held-out tasks"

    @property
    def held_out(self) -> bool:
        """Whether the results are on tasks that nothing was trained on."""
        return self.evaluated_on == "held-out tasks"

    def _split(self, phase: str, default: str) -> str:
        settings = self.config.get(phase)
        tasks = settings.get("tasks") if isinstance(settings, dict) else None
        return str(tasks.get("split", default)) if isinstance(tasks, dict) else default

    @property
    def clone_label(self) -> str:
        """What the clone is called in the table of results, where all methods share its row."""
        shared = [row.label for row in self.metrics.rows if not row.method] if self.metrics else []
        return next((label for label in shared if label != "expert"), "clone")

    def trainings(self) -> list[Training]:
        """Return the fine-tunings that left a folder: the clone's, then the main method's, then the baselines'."""
        found = [self._training("clone", "", 0)] if StageKey("clone") in self.layout.stages() else []
        for method in self._methods():
            found += [self._training(f"{method} {i}", method, i) for i in self.layout.iterations(method)]
        return found

    def _training(self, label: str, method: str, iteration: int) -> Training:
        return Training(
            label=label,
            method=method,
            iteration=iteration,
            examples=self.layout.examples(method, iteration),
            log=self.layout.training_log(method, iteration),
            preparation=self.layout.training_preparation(method, iteration),
            attributions=self.layout.attributions(method, iteration),
        )

    def groups(self) -> list[Group]:
        """Return the files of trajectories there are: demonstrations, tests, then iteration by iteration."""
        groups = [
            self._group(StageKey("collect"), "demonstration", "expert"),
            self._group(StageKey("evaluate", expert=True), "test", "expert"),
            self._group(StageKey("evaluate"), "test", "clone"),
        ]
        groups += [self._group(StageKey("evaluate", name), "test", f"{name} at first") for name in self._methods()]
        for training in self.trainings():
            if training.method:
                of_iteration = (training.method, training.iteration)
                groups += [
                    self._group(StageKey("explore", *of_iteration), "exploration", training.label),
                    self._group(StageKey("evaluate", *of_iteration), "test", training.label),
                ]
        return [group for group in groups if group.path.exists()]

    def _group(self, key: StageKey, phase: Phase, label: str) -> Group:
        return Group(self.layout.trajectories(key), phase, label, key.method)

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
            found = json.loads(training.preparation.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _methods(self) -> list[str]:
        """Return the methods there are folders of, the main one first."""
        return sorted(self.layout.methods(), key=lambda name: name != self.config.get("method"))

    def _mapping(self, path: Path, parse: Any) -> dict[str, Any]:
        try:
            data = parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.problems.append(f"{path.name} is missing.")
            return {}
        except (OSError, ValueError, yaml.YAMLError) as cause:
            self.problems.append(f"{path.name} doesn't read: {cause}")
            return {}
        return data if isinstance(data, dict) else {}

    def _metrics(self) -> RunMetrics | None:
        path = self.layout.metrics
        if not path.exists():
            return None
        try:
            return RunMetrics.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as cause:
            self.problems.append(f"metrics.json doesn't read: {cause}")
            return None

    def _name(self, path: Path) -> str:
        return path.relative_to(self.run).as_posix()
