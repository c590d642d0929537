"""Compares the results of several runs."""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from eef_framework.comparison.protocol import check_allowed, check_protocols, flattened, protocol_of, within
from eef_framework.comparison.result import ComparedDifference, ComparedExperiment, ComparedRow, Comparison
from eef_framework.comparison.statistics import (
    TaskKey,
    as_difference,
    as_share,
    difference_over_tasks,
    over_seeds,
    rate_over_tasks,
)
from eef_framework.errors import EefError, EefWarning, UnknownName
from eef_framework.evaluation.formatting import unknown_costs
from eef_framework.evaluation.run_results import RunResults
from eef_framework.records import ResultRow, SuccessRule
from eef_framework.runs.file_names import RUN_MANIFEST

_NUMBERS = re.compile(r"\d[\d.,]*\w?")
NOT_THE_EXPERIMENT = ("seed", "plugins", "limits.concurrency", "executor", "trackers")
"""Settings in which two runs of one experiment may differ."""


def compare_runs(paths: Iterable[str | Path], reference: str | None = None, allow: Sequence[str] = ()) -> Comparison:
    """Compare finished runs.

    Runs whose configurations differ in nothing but the seed are the seeds of one experiment, and are pooled.

    Args:
        paths: run directories, and folders whose subfolders are run directories. Unfinished runs in folders are left
            out.
        reference: label of the row that all others are compared with; by default the last row of the first run's
            main method.
        allow: settings in which the protocols may differ, such as `environment.catalogue_seed`.

    Warns:
        EefWarning: `runs-left-out`: some runs in a folder aren't finished.

    Raises:
        EefError: `not-comparable`: a run isn't finished, none in a folder is, or two have the same configuration and
            seed; `protocols-differ`: they weren't measured in the same way; `tasks-differ`: two rows were measured on
            different tasks; `no-common-seed`.
        UnknownName: there is no row with the label `reference`, or no setting of a name in `allow`.
        StorageError: a path isn't a run directory.
    """
    runs = _read_runs(paths)
    check_allowed(allow, [run.results.config | run.settings for run in runs])
    protocol = check_protocols({str(run.results.path): protocol_of(run.results.config) for run in runs}, allow)
    rule = SuccessRule.model_validate(runs[0].results.config["success"])
    experiments = _experiments(runs, allow)
    several = len(experiments) > 1
    actors = [
        _Actor.of(label, name, members, rule, several)
        for name, members in experiments.items()
        for label in _labels(members)
    ]
    compared = _compared(experiments)
    chosen = _reference(actors, reference)
    others = [actor for actor in actors if actor.last and actor is not chosen]
    return Comparison(
        protocol=protocol,
        rows=tuple(actor.row() for actor in actors),
        differences=tuple(_difference(chosen, other, compared) for other in others),
        experiments=tuple(compared.values()),
        notes=_notes(runs),
    )


@dataclass(frozen=True)
class _Run:
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
    def read(cls, path: Path) -> _Run:
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


@dataclass(frozen=True)
class _Actor:
    """A row of one experiment, with its tasks in each seed.

    Attributes:
        label: the label shown.
        experiment: the experiment's name.
        rows: seed -> row.
        solved: seed -> task -> whether it was solved.
        last: whether it is the last row of its method, which differences are about.
        main: whether it is the last row of its run's main method.
    """

    label: str
    experiment: str
    rows: dict[int, ResultRow]
    solved: dict[int, dict[TaskKey, bool]]
    last: bool
    main: bool

    @classmethod
    def of(cls, label: str, experiment: str, runs: Sequence[_Run], rule: SuccessRule, several: bool) -> _Actor:
        """Collect the rows of a label from the runs of one experiment, one for each seed.

        Args:
            label: the label.
            experiment: the experiment's name.
            runs: its runs.
            rule: when an episode is a success.
            several: whether several experiments are compared, so that the shown label names this one.
        """
        rows = {run.seed: row for run in runs if (row := run.row(label)) is not None}
        solved = {run.seed: _solved(run.results, rows[run.seed], rule) for run in runs if run.seed in rows}
        all_rows, method = runs[0].results.rows, runs[0].results.config.get("method")
        of_method = [row.label for row in all_rows if (row.method or row.label) == _method(all_rows, label)]
        last = bool(of_method) and of_method[-1] == label
        shown = f"{experiment}: {label}" if several else label
        return cls(shown, experiment, rows, solved, last, last and _method(all_rows, label) == method)

    def row(self) -> ComparedRow:
        """Return the row of the comparison, with means over seeds."""
        rows = list(self.rows.values())
        success = [row.evaluation.success.mean for row in rows]
        return ComparedRow(
            label=self.label,
            experiment=self.experiment,
            seeds=tuple(self.rows),
            success_over_seeds=as_share(over_seeds(success)),
            success_over_tasks=rate_over_tasks(list(self.solved.values())),
            reward=over_seeds([row.evaluation.reward.mean for row in rows]),
            simulations=fmean(row.cost.simulations for row in rows),
            tokens=fmean(row.cost.computed_tokens + row.cost.trained_tokens for row in rows),
            usd=fmean(row.cost.usd for row in rows),
            per_seed=tuple(success),
        )


def _read_runs(paths: Iterable[str | Path]) -> list[_Run]:
    """Read the runs given, and the finished ones in the folders given.

    Raises:
        EefError: a run that was given isn't finished, or none in a folder is (`not-comparable`).
    """
    found: dict[Path, _Run] = {}
    unfinished: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        inside = sorted((entry.parent for entry in path.glob(f"*/{RUN_MANIFEST}")), key=_by_number)
        if not inside or (path / RUN_MANIFEST).exists():
            found.setdefault(path, _Run.read(path))
            continue
        finished = {folder: _Run(results) for folder in inside if _finished(results := RunResults(folder))}
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


def _experiments(runs: Sequence[_Run], allow: Sequence[str]) -> dict[str, list[_Run]]:
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


def _names(groups: Sequence[Sequence[_Run]]) -> list[str]:
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


def _compared(experiments: Mapping[str, Sequence[_Run]]) -> dict[str, ComparedExperiment]:
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


def _grouped(runs: Sequence[_Run], allow: Sequence[str] = ()) -> list[list[_Run]]:
    groups: dict[str, list[_Run]] = defaultdict(list)
    for run in runs:
        groups[run.experiment(allow)].append(run)
    return list(groups.values())


def _labels(runs: Sequence[_Run]) -> list[str]:
    return list(dict.fromkeys(row.label for run in runs for row in run.results.rows))


def _method(rows: Sequence[ResultRow], label: str) -> str:
    return next((row.method or row.label for row in rows if row.label == label), "")


def _solved(results: RunResults, row: ResultRow, rule: SuccessRule) -> dict[TaskKey, bool]:
    return {(each.task.id, each.task.fingerprint): rule.holds(each) for each in results.evaluated(row)}


def _reference(actors: Sequence[_Actor], label: str | None) -> _Actor:
    if label is None:
        return next((actor for actor in actors if actor.main), actors[-1])
    for actor in actors:
        if actor.label == label:
            return actor
    raise UnknownName.of("row", label, [actor.label for actor in actors], where="in these runs")


def _difference(a: _Actor, b: _Actor, experiments: Mapping[str, ComparedExperiment]) -> ComparedDifference:
    seeds = tuple(seed for seed in a.rows if seed in b.rows)
    if not seeds:
        first, second = (experiments[each.experiment].settings for each in (a, b))
        differ = [key for key in {**first, **second} if first.get(key) != second.get(key)]
        why = f". They aren't one experiment, as they differ in {_listed(differ)}" if differ else ""
        pool = f", or pool them: --allow {' --allow '.join(differ)}" if differ else ""
        raise EefError(
            f"{a.label!r} and {b.label!r} have no seed in common ({_listed(a.rows)}; {_listed(b.rows)}), so they can't "
            f"be paired{why}",
            f"Run both with the same seeds{pool}.",
            code="no-common-seed",
            first=list(a.rows),
            second=list(b.rows),
            settings=differ,
        )
    for seed in seeds:
        only = a.solved[seed].keys() ^ b.solved[seed].keys()
        if only:
            raise EefError(
                f"with seed {seed}, {a.label!r} and {b.label!r} were measured on different tasks: {len(only)} of "
                f"{len(a.solved[seed].keys() | b.solved[seed].keys())} were played by one of them only, such as "
                f"{min(only)[0]!r}",
                "Evaluate both on the same tasks. Tasks with another fingerprint are other tasks.",
                code="tasks-differ",
                seed=seed,
                tasks=sorted(task for task, _ in only),
            )
    per_seed = [a.rows[seed].evaluation.success.mean - b.rows[seed].evaluation.success.mean for seed in seeds]
    return ComparedDifference(
        first=a.label,
        second=b.label,
        seeds=seeds,
        over_seeds=as_difference(over_seeds(per_seed)),
        over_tasks=difference_over_tasks([a.solved[seed] for seed in seeds], [b.solved[seed] for seed in seeds]),
        per_seed=tuple(per_seed),
    )


def _notes(runs: Sequence[_Run]) -> tuple[str, ...]:
    """Return the notes of all runs. One that not all have is marked with its run, and others like it are counted."""
    having: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        metrics = run.results.metrics
        unknown = unknown_costs(sum(cost.answers_of_unknown_cost for cost in metrics.stages.values()))
        for note in dict.fromkeys(filter(None, (*metrics.notes, unknown))):
            alike = having.setdefault(_NUMBERS.sub("#", note), {})
            alike.setdefault(note, []).append(run.results.path.name)
    return tuple(_note(alike, len(runs)) for alike in having.values())


def _note(alike: Mapping[str, Sequence[str]], runs: int) -> str:
    """Return one of the notes that differ in their numbers only: note -> the runs that have it."""
    note, names = next(iter(alike.items()))
    others = sum(map(len, alike.values())) - len(names)
    said = note if len(names) == runs else f"{', '.join(names)}: {note}"
    return f"{said} (The same with other numbers: {others} more run{'s' * (others > 1)}.)" if others else said


def _listed(each: Iterable[object]) -> str:
    return ", ".join(map(str, each))
