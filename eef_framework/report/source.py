"""Reads a run directory for the report. Missing and corrupt files become notes on the page, not errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import ValidationError

from eef_framework.errors import CorruptFile, StorageError, storage
from eef_framework.records import RunMetrics, VersionedRecord
from eef_framework.renames import with_new_names
from eef_framework.runs import RunLayout, StageKey
from eef_framework.runs.jsonl import parse_row
from eef_framework.runs.settings_files import is_baselines_file

R = TypeVar("R", bound=VersionedRecord)
OF_THE_REST = "Counts and charts are of what is left."
Phase = Literal["demonstration", "exploration", "test"]


@dataclass(frozen=True)
class Group:
    """A file of trajectories."""

    path: Path
    phase: Phase
    label: str
    """The actor (`expert`, `clone`), or the training they belong to (`eef 1`)."""
    method: str
    """The method they belong to; empty if all methods share them."""


@dataclass(frozen=True)
class Training:
    """A training run: of the clone, or at the end of a method's iteration."""

    label: str
    """`clone`, `eef 1`."""
    method: str
    """Empty for the clone, which all methods share."""
    iteration: int
    examples: Path
    """File of the training examples."""
    log: Path
    """File of the losses."""
    preparation: Path
    """File that counts examples and tokens."""
    attributions: Path
    """File of the attributions from which the examples were selected."""


class Source:
    """A run directory as the report reads it.

    Args:
        run: the directory.

    Attributes:
        manifest: `run.json`, empty if absent.
        config: `config.yaml`, empty if absent.
        baselines: `baselines.yaml`, empty if absent, as without baselines and in runs of earlier versions.
        metrics: `metrics.json`, None if absent, as in an unfinished run.
        problems: files and lines that are missing or couldn't be read, as notes for the page.

    Raises:
        StorageError: the directory doesn't exist.
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
        self.baselines = self._baselines()
        self.metrics = self._metrics()
        self._complete: set[Path] = set()
        """Folders of complete stages, where nothing is being written any more."""
        self._check_stages()

    @property
    def method(self) -> str:
        """The main method; the other ones are its baselines."""
        return str(self.config.get("method") or next(iter(self._methods()), "eef"))

    @property
    def evaluated_on(self) -> str:
        """The tasks of the results: `held-out tasks`, or which training tasks."""
        split, trained = self._split("evaluate", "test"), self._split("collect", "train")
        return f"training tasks (split {split!r})" if split == trained else "held-out tasks"

    @property
    def held_out(self) -> bool:
        """Whether the results are on tasks that weren't used in training."""
        return self.evaluated_on == "held-out tasks"

    def _split(self, phase: str, default: str) -> str:
        settings = self.config.get(phase)
        tasks = settings.get("tasks") if isinstance(settings, dict) else None
        return str(tasks.get("split", default)) if isinstance(tasks, dict) else default

    @property
    def clone_label(self) -> str:
        """Label of the clone's row in the results."""
        shared = [row.label for row in self.metrics.rows if not row.method] if self.metrics else []
        return next((label for label in shared if label != "expert"), "clone")

    def trainings(self) -> list[Training]:
        """Return the training runs that have a folder: the clone's, the main method's, then the baselines'."""
        found = [self._training("clone", "", 0)] if StageKey("clone") in self.layout.stages() else []
        for method in self._methods():
            found += [self._training(f"{method} {i}", method, i) for i in self.layout.iterations(method)]
        return found

    def trainings_with_world_models(self) -> Iterator[Training]:
        """Yield the training runs, each after the one before it that learned to predict observations, if any."""
        for training in self.trainings():
            of_iteration = training.method, training.iteration
            if training.iteration and (self.run / StageKey("world-model", *of_iteration).path).is_dir():
                yield replace(
                    training,
                    label=f"{training.label}: observations",
                    examples=self.layout.predictions(*of_iteration),
                    log=self.layout.training_log(*of_iteration, "world-model"),
                    preparation=self.layout.training_preparation(*of_iteration, "world-model"),
                )
            yield training

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
        """Return the existing files of trajectories: demonstrations, evaluations, then iteration by iteration."""
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
        """Yield the records of a file, if it exists. Unreadable lines are skipped and counted in `problems`."""
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
                f"{self._name(path)}: {bad} unreadable line{'s' * (bad > 1)}, not included in this report."
            )
        if torn:
            why = "damaged" if path.parent in self._complete else "the run is still writing, or was stopped"
            self.problems.append(
                f"{self._name(path)}: the last line is incomplete ({why}), not included in this report."
            )

    def losses(self, training: Training) -> list[tuple[float, float]]:
        """Return the logged (step, loss) of a training run."""
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
            self.problems.append(f"{self._name(training.log)}: no line has both a step and a loss.")
        return points

    def preparation(self, training: Training) -> dict[str, Any]:
        """Return the counts of examples, tokens and what was left out of a training run; empty if unknown."""
        try:
            found = json.loads(training.preparation.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        renamed = {"cut": "truncated", "drifted": "differently_tokenized"}
        return dict(with_new_names(found, training.preparation.name, renamed))

    def _methods(self) -> list[str]:
        """Return the methods that have a folder, the main one first."""
        return sorted(self.layout.methods(), key=lambda name: name != self.config.get("method"))

    def _mapping(self, path: Path, parse: Any) -> dict[str, Any]:
        try:
            data = parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.problems.append(f"{path.name} is missing.")
            return {}
        except (OSError, ValueError, yaml.YAMLError) as cause:
            self.problems.append(f"{path.name} can't be read: {cause}")
            return {}
        if not isinstance(data, dict):
            self.problems.append(f"{path.name} {'is empty' if data is None else 'has no keys'}, and can't be used.")
            return {}
        return data

    def _baselines(self) -> dict[str, Any]:
        path = self.layout.baselines
        return self._mapping(path, yaml.safe_load) if is_baselines_file(path) else {}

    def _metrics(self) -> RunMetrics | None:
        path = self.layout.metrics
        if not path.exists():
            return None
        try:
            return RunMetrics.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as cause:
            why = cause.errors()[0]["msg"] if isinstance(cause, ValidationError) else cause
            self.problems.append(
                f"metrics.json can't be read: {why}. Repeat the run's command: it writes the file again."
            )
            return None

    def _check_stages(self) -> None:
        """Note what complete stages have lost since."""
        for key in self.layout.stages():
            stage = self.layout.stage(key)
            try:
                if stage.reopened:
                    self.problems.append(
                        f"{key.path} was repaired and isn't complete: repeat the run's command to redo what is missing."
                    )
                if stage.done:
                    self._complete.add(stage.path)
                for path, found, expected in stage.rows_missing():
                    left = (
                        f"{found:,} of {expected:,} rows are left"
                        if path.exists()
                        else f"missing; it had {expected:,} rows"
                    )
                    self.problems.append(
                        f"{self._name(path)}: {left}. {OF_THE_REST} Restore the file, or run `eef repair` on it and "
                        "repeat the run's command."
                    )
            except CorruptFile as cause:
                self.problems.append(cause.message)
        for name in self.metrics.stages if self.metrics else ():
            if not (self.run / name).is_dir():
                self.problems.append(f"{name}: the folder is missing. {OF_THE_REST}")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.run).as_posix()
