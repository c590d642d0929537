"""Results of a run in Python: its metrics, trajectories and attributions, as records and as data frames."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from eef_framework.errors import CorruptFile, EefError, StorageError, UnknownName, storage
from eef_framework.evaluation.formatting import (
    ONE_TRAINING,
    count,
    describe,
    duration,
    html_table,
    percent,
    plus_minus,
    tokens_of,
    unknown_costs,
)
from eef_framework.evaluation.spending import spending_by_task
from eef_framework.records import Attribution, Difference, ResultRow, RunMetrics, Spending, SuccessRule, Trajectory
from eef_framework.runs import PhaseName, RunLayout, StageKey, read_rows
from eef_framework.runs.settings_files import is_baselines_file, read_settings_file

if TYPE_CHECKING:
    import pandas

PLAYING: tuple[PhaseName, ...] = ("collect", "explore", "evaluate")
"""The phases with episodes."""


class RunResults:
    """The results of a run, read from its folder. In a notebook, it shows its table.

    Args:
        path: the run directory. It may belong to a run that isn't finished.

    Attributes:
        path: the run directory.
        metrics: rates, rewards, costs and comparisons; without rows while the run isn't finished.

    Raises:
        StorageError: the run directory doesn't exist.
        CorruptFile: its numbers or its configuration can't be parsed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.layout = RunLayout(self.path)
        if not self.layout.manifest.exists():
            raise StorageError(
                f"{str(self.path)!r} isn't a run directory: {self.layout.manifest.name} is missing",
                "Give the folder that `eef-run` or `run()` wrote.",
                code="not-a-run",
                path=str(self.path),
            )
        self.config: dict[str, Any] = read_settings_file(self.layout.config)
        self.metrics = _read_metrics(self.layout, self.config)

    @property
    def baselines(self) -> dict[str, dict[str, Any]] | None:
        """The settings that define each baseline in the table, by its name; None in runs of earlier versions.

        Raises:
            CorruptFile: their file can't be parsed.
        """
        if not is_baselines_file(self.layout.baselines):
            return None
        recorded = read_settings_file(self.layout.baselines)
        there = {row.method or row.label for row in self.rows}
        return {name: settings for name, settings in recorded.items() if name in there}

    @property
    def finished(self) -> bool:
        """Whether the run has its final numbers."""
        return self.layout.metrics.exists()

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """The rows of the table."""
        return self.metrics.rows

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The comparisons, each paired by task."""
        return self.metrics.differences

    @property
    def report(self) -> Path:
        """The page."""
        return self.layout.report

    def trajectories(
        self, phase: PhaseName | None = None, method: str | None = None, iteration: int | None = None
    ) -> list[Trajectory]:
        """Return episodes.

        Args:
            phase: `collect` (the expert's demonstrations), `explore` or `evaluate`; None for all.
            method: only of this method; empty for those shared by all methods.
            iteration: only of this iteration.

        Raises:
            UnknownName: no phase plays episodes under this name, or the run has no such method or iteration.
            CorruptFile: a line can't be parsed.
        """
        return [row for _, row in self._trajectories(phase, method, iteration)]

    def evaluated(self, row: ResultRow) -> list[Trajectory]:
        """Return the episodes that a row of the table was computed from.

        Args:
            row: one of `rows`.

        Raises:
            CorruptFile: a line can't be parsed.
        """
        # Runs of earlier versions don't name the stage; only the expert's row has this label and no method.
        key = StageKey.of_path(row.stage) or StageKey(
            "evaluate", row.method, row.iteration, expert=not row.method and row.label == "expert"
        )
        return list(read_rows(self.layout.trajectories(key), Trajectory))

    def attributions(self, method: str | None = None, iteration: int | None = None) -> list[Attribution]:
        """Return the verdicts on the expert's actions.

        Args:
            method: only of this method.
            iteration: only of this iteration.

        Raises:
            UnknownName: the run has no such method or iteration.
            CorruptFile: a line can't be parsed.
        """
        return [row for _, row in self._attributions(method, iteration)]

    def spending(self, method: str, iteration: int | None = None) -> dict[str, Spending]:
        """Return the spending of a method's explorations: task id -> simulations, tokens, steps and seconds.

        Args:
            method: the method.
            iteration: only of this iteration.

        Raises:
            UnknownName: the run has no such method or iteration.
            CorruptFile: a line can't be parsed.
        """
        return spending_by_task(self.trajectories("explore", method, iteration))

    def results_frame(self) -> pandas.DataFrame:
        """Return the table as a data frame: a row for each actor, with intervals and costs.

        Raises:
            EefError: pandas isn't installed.
        """
        return frame(
            {
                "label": row.label,
                "method": row.method,
                "iteration": row.iteration,
                "split": row.evaluation.split,
                "episodes": row.evaluation.episodes,
                **{
                    f"{name}{end}": getattr(getattr(row.evaluation, name), field)
                    for name in ("success", "reward", "steps")
                    for end, field in (("", "mean"), ("_low", "low"), ("_high", "high"))
                },
                "errors": row.evaluation.errors,
                **{f"cost_{name}": value for name, value in row.cost.model_dump().items()},
            }
            for row in self.rows
        )

    def trajectories_frame(
        self, phase: PhaseName | None = None, method: str | None = None, iteration: int | None = None
    ) -> pandas.DataFrame:
        """Return episodes as a data frame: a row for each, without its steps.

        Raises:
            EefError: pandas isn't installed.
        """
        rule = SuccessRule(threshold=self.metrics.threshold)
        return frame(
            {
                "id": row.id,
                "phase": key.phase,
                "method": key.method,
                "iteration": key.iteration,
                "actor": row.actor,
                "task": row.task.id,
                "split": row.task.split,
                "kind": row.task.kind,
                "origin": row.origin.trajectory if row.origin else None,
                "state": row.prefix_length,
                "steps": len(row.steps),
                "reward": row.reward,
                "success": rule.holds(row),
                "ending": row.ending,
                "error": row.error,
                "seconds": row.seconds,
            }
            for key, row in self._trajectories(phase, method, iteration)
        )

    def attributions_frame(self, method: str | None = None, iteration: int | None = None) -> pandas.DataFrame:
        """Return verdicts as a data frame: a row for each segment of each demonstration.

        Raises:
            EefError: pandas isn't installed.
        """
        return frame(
            {
                "trajectory": row.trajectory,
                "method": key.method,
                "iteration": key.iteration,
                "attributor": row.method,
                "start": segment.start,
                "end": segment.end,
                "verdict": segment.verdict.value,
                "reason": segment.reason,
            }
            for key, row in self._attributions(method, iteration)
            for segment in row.segments
        )

    def _trajectories(
        self, phase: PhaseName | None, method: str | None, iteration: int | None
    ) -> Iterator[tuple[StageKey, Trajectory]]:
        if phase not in (None, *PLAYING):
            raise UnknownName.of("phase with episodes", str(phase), PLAYING)
        for key in self._stages(method, iteration):
            path = self.layout.trajectories(key)
            if phase in (None, key.phase) and path.exists():
                yield from ((key, row) for row in read_rows(path, Trajectory))

    def _attributions(self, method: str | None, iteration: int | None) -> Iterator[tuple[StageKey, Attribution]]:
        for key in self._stages(method, iteration):
            path = self.layout.attributions(key.method, key.iteration)
            if key.phase == "explore" and path.exists():
                yield from ((key, row) for row in read_rows(path, Attribution))

    def _stages(self, method: str | None, iteration: int | None) -> list[StageKey]:
        """Return the stages of a method, or of all, and of an iteration, or of all.

        Raises:
            UnknownName: there is no such method or iteration. An empty list would hide a typing error.
        """
        methods = self.layout.methods()
        if method not in (None, "", *methods):
            raise UnknownName.of(f"method in the run {str(self.path)!r}", str(method), methods)
        found = [key for key in self.layout.stages() if method in (None, key.method)]
        iterations = sorted({key.iteration for key in found})
        if iteration not in (None, *iterations):
            of = f" of method {method!r}" if method else ""
            what = f"iteration{of} in the run {str(self.path)!r}"
            raise UnknownName.of(what, str(iteration), map(str, iterations))
        return [key for key in found if iteration in (None, key.iteration)]

    def __repr__(self) -> str:
        rows = "".join(f"\n  {row.label}: success {percent(row.evaluation.success)} %" for row in self.rows)
        return f"run {str(self.path)!r}{rows or ' (not finished)'}"

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        heads = ("", "split", "success %", "reward", "steps", "simulations", "tokens", "time")
        rows = [
            (
                row.label,
                row.evaluation.split,
                percent(row.evaluation.success),
                plus_minus(row.evaluation.reward),
                f"{row.evaluation.steps.mean:.1f}",
                count(row.cost.simulations),
                tokens_of(row.cost),
                duration(row.cost.seconds),
            )
            for row in self.rows
        ]
        sentences = [describe(each) for each in self.differences]
        unknown = unknown_costs(sum(cost.answers_of_unknown_cost for cost in self.metrics.stages.values()))
        sentences += [
            *([unknown] if unknown else []),
            *self.metrics.notes,
            *([ONE_TRAINING] if sentences else []),
            f"Report: {self.report}",
        ]
        if not self.finished:
            sentences.insert(0, "This run isn't finished.")
        return html_table(heads, rows) + "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def load_run(path: str | Path) -> RunResults:
    """Return the results of a run that was done before, finished or not.

    Args:
        path: the run directory.

    Raises:
        StorageError: it isn't a run directory.
        CorruptFile: its numbers or its configuration can't be parsed.
    """
    return RunResults(path)


def _read_metrics(layout: RunLayout, config: dict[str, Any]) -> RunMetrics:
    if not layout.metrics.exists():
        return RunMetrics(threshold=SuccessRule.model_validate(config.get("success") or {}).threshold)
    try:
        with storage(layout.metrics, "reading"):
            return RunMetrics.model_validate_json(layout.metrics.read_bytes())
    except ValidationError as cause:
        raise CorruptFile(
            f"{layout.metrics} can't be parsed: {cause.errors()[0]['msg']}",
            "Run the command again: it writes this file again.",
            path=str(layout.metrics),
        ) from cause


def frame(rows: Iterable[dict[str, Any]]) -> pandas.DataFrame:
    """Return a data frame.

    Args:
        rows: column -> value, for each row.

    Raises:
        EefError: pandas isn't installed.
    """
    try:
        import pandas
    except ImportError as cause:
        raise EefError(
            "data frames need pandas, which isn't installed",
            "pip install 'eef-framework[pandas]'",
            code="pandas-missing",
        ) from cause
    return pandas.DataFrame(list(rows))
