"""Compares the results of several runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from eef_framework.comparison.experiments import Run, described, experiments_of, read_runs
from eef_framework.comparison.protocol import check_allowed, check_protocols, protocol_of
from eef_framework.comparison.result import ComparedDifference, ComparedExperiment, ComparedRow, Comparison
from eef_framework.comparison.statistics import (
    TaskKey,
    as_difference,
    as_share,
    difference_over_tasks,
    over_seeds,
    rate_over_tasks,
)
from eef_framework.errors import EefError, UnknownName
from eef_framework.evaluation.formatting import unknown_costs
from eef_framework.evaluation.run_results import RunResults
from eef_framework.records import ResultRow, SuccessRule

_NUMBERS = re.compile(r"\d[\d.,]*\w?")


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
    runs = read_runs(paths)
    check_allowed(allow, [run.results.config | run.settings for run in runs])
    protocol = check_protocols({str(run.results.path): protocol_of(run.results.config) for run in runs}, allow)
    rule = SuccessRule.model_validate(runs[0].results.config["success"])
    experiments = experiments_of(runs, allow)
    several = len(experiments) > 1
    actors = [
        _Actor.of(label, name, members, rule, several)
        for name, members in experiments.items()
        for label in _labels(members)
    ]
    compared = described(experiments)
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
    def of(cls, label: str, experiment: str, runs: Sequence[Run], rule: SuccessRule, several: bool) -> _Actor:
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
        results = next(run.results for run in runs if run.seed in rows)
        all_rows, method = results.rows, results.config.get("method")
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


def _labels(runs: Sequence[Run]) -> list[str]:
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


def _notes(runs: Sequence[Run]) -> tuple[str, ...]:
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
