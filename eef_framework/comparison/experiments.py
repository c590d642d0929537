"""Reads runs, and groups them into experiments: those that differ in nothing but the seed."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eef_framework.comparison.protocol import flattened, within
from eef_framework.comparison.result import ComparedExperiment
from eef_framework.errors import EefError, EefWarning
from eef_framework.evaluation.run_results import RunResults
from eef_framework.records import ResultRow
from eef_framework.runs.file_names import RUN_MANIFEST

NOT_THE_EXPERIMENT = ("seed", "plugins", "limits.concurrency", "executor", "trackers")
"""Settings in which two runs of one experiment may differ."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        results: its results.
    """

    results: RunResults

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.results.config.get("seed", 0))

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read a run directory.

        Raises:
            EefError: the run isn't finished (`not-comparable`).
        """
        results = RunResults(path)
        if not _finished(results):
            raise EefError(
                f"the run {str(path)!r} isn't finished: it has no results to compare",
                "Repeat its command to finish it, or leave it out.",
                code="not-comparable",
                path=str(path),
            )
        return cls(results)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its settings, by dotted key. Of baselines those that differ from the run's own, however they were named."""
        config, baselines = dict(self.results.config), self.results.baselines
        if baselines is None:
            return dict(flattened(config))
        del config["baselines"]
        own = dict(flattened(config))
        theirs = {name: dict(flattened(settings)) for name, settings in baselines.items()}
        return own | {
            f"baselines.{name}.{key}": value
            for name, settings in theirs.items()
            for key, value in settings.items()
            if key not in own or own[key] != value
        }

    def experiment(self, allow: Sequence[str]) -> str:
        """Return what the runs of one experiment have in common."""
        skipped = (*NOT_THE_EXPERIMENT, *allow)
        kept = {key: value for key, value in self.settings.items() if not any(within(key, part) for part in skipped)}
        return repr(sorted(kept.items()))

    def row(self, label: str) -> ResultRow | None:
        """Return the row with a label, None if there is none."""
        return next((row for row in self.results.rows if row.label == label), None)


def read_runs(paths: Iterable[str | Path]) -> list[Run]:
    """Read the runs given, and the finished ones in the folders given.

    Raises:
        EefError: a run that was given isn't finished, or none in a folder is (`not-comparable`).
    """
    found: dict[Path, Run] = {}
    unfinished: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        inside = sorted((entry.parent for entry in path.glob(f"*/{RUN_MANIFEST}")), key=_by_number)
        if not inside or (path / RUN_MANIFEST).exists():
            found.setdefault(path, Run.read(path))
            continue
        finished = {folder: Run(results) for folder in inside if _finished(results := RunResults(folder))}
        if not finished:
            raise EefError(
                f"no run in {str(path)!r} is finished: there are no results to compare",
                "Repeat the command that started them to finish them, or leave the folder out.",
                code="not-comparable",
                path=str(path),
            )
        found |= {folder: run for folder, run in finished.items() if folder not in found}
        unfinished += [folder for folder in inside if folder not in finished]
    left_out = [str(folder) for folder in dict.fromkeys(unfinished) if folder not in found]
    if left_out:
        warnings.warn(
            EefWarning(
                f"not compared, since not finished: {', '.join(left_out)}. Repeat the command of a run to finish it.",
                code="runs-left-out",
                runs=left_out,
            ),
            stacklevel=3,
        )
    return list(found.values())


def _finished(results: RunResults) -> bool:
    return results.finished and bool(results.rows)


def _by_number(path: Path) -> tuple[int, str]:
    digits = "".join(filter(str.isdecimal, path.name))
    return int(digits or 0), path.name


def experiments_of(runs: Sequence[Run], allow: Sequence[str]) -> dict[str, list[Run]]:
    """Group the runs into experiments: name -> its runs, one a seed.

    Raises:
        EefError: two runs have the same configuration and seed.
    """
    groups = []
    for group in _grouped(runs, allow):
        # Settings that may differ usually follow the seed. Where they don't, they make experiments of their own.
        seeds = {run.seed for run in group}
        groups += [group] if len(seeds) == len(group) else _grouped(group)
    for group in groups:
        first = {run.seed: run for run in reversed(group)}
        twin = next((run for run in group if first[run.seed] is not run), None)
        if twin is not None:
            raise EefError(
                f"{str(first[twin.seed].results.path)!r} and {str(twin.results.path)!r} have the same configuration "
                f"and the same seed ({twin.seed}): pooled, they would count twice",
                "Leave one of them out.",
                code="not-comparable",
                seed=twin.seed,
            )
    return dict(zip(_names(groups), groups, strict=True))


def _grouped(runs: Sequence[Run], allow: Sequence[str] = ()) -> list[list[Run]]:
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.experiment(allow)].append(run)
    return list(groups.values())


def _names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Name experiments by the folder of their runs, or by their first run where that says more; never two alike."""
    folders = [{run.results.path.resolve().parent for run in group} for group in groups]
    shared = Counter(folder for each in folders for folder in each)
    paths = [group[0].results.path.resolve() for group in groups]
    names = [
        path.parent.name if len(group) > 1 and shared[path.parent] == 1 else path.name
        for path, group in zip(paths, groups, strict=True)
    ]
    alike = Counter(names)
    return [name if alike[name] == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def described(experiments: Mapping[str, Sequence[Run]]) -> dict[str, ComparedExperiment]:
    """Return the experiments by name, each with the settings in which they differ."""
    settings = {name: runs[0].settings for name, runs in experiments.items()}
    keys = dict.fromkeys(key for each in settings.values() for key in each)
    differ = {
        key
        for key in keys
        if not any(within(key, part) for part in NOT_THE_EXPERIMENT)
        and len({repr(each.get(key)) for each in settings.values()}) > 1
    }
    return {
        name: ComparedExperiment(
            name=name,
            runs=tuple(str(run.results.path) for run in runs),
            settings={key: value for key, value in settings[name].items() if key in differ},
        )
        for name, runs in experiments.items()
    }
