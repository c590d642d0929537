"""The results table of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eef_framework.evaluation.evaluate import difference_of, evaluation_of
from eef_framework.pipeline.phase import Phase
from eef_framework.pipeline.rows import Rows
from eef_framework.records import Cost, Difference, ResultRow, RunMetrics, SuccessRule, Trajectory
from eef_framework.runs import StageKey


@dataclass(frozen=True)
class TableRow:
    """A row of the table, computed when its phases are done.

    Attributes:
        label: its label.
        key: the stage with the episodes; also says to which method the row belongs, and after which iteration.
        split: the split of the tasks.
        played: the episodes that are evaluated.
        paid_for: the phases included in its cost.
    """

    label: str
    key: StageKey
    split: str
    played: Rows[Trajectory]
    paid_for: Sequence[Phase]

    def fill(self, rule: SuccessRule) -> ResultRow:
        """Return the row with its numbers."""
        return ResultRow(
            label=self.label,
            method=self.key.method,
            iteration=self.key.iteration,
            stage=self.key.path,
            evaluation=evaluation_of(self.label, self.played.read(), rule, self.split),
            cost=sum(map(cost_of_phase, self.paid_for), Cost()),
        )


def cost_of_phase(phase: Phase) -> Cost:
    """Return the cost of a completed phase of a run."""
    manifest = phase.stage.manifest if phase.stage else None
    return manifest.cost if manifest else Cost()


def metrics_of(method: str, rows: Sequence[TableRow], phases: Sequence[Phase], rule: SuccessRule) -> RunMetrics:
    """Return the whole table, including comparisons of the main method's last row with each other method's last row.

    Args:
        method: the main method.
        rows: the rows.
        phases: all phases of the run.
        rule: the success rule.
    """
    return RunMetrics(
        threshold=rule.threshold,
        rows=tuple(row.fill(rule) for row in rows),
        differences=tuple(_differences(method, rows, rule)),
        stages={phase.stage.name: cost_of_phase(phase) for phase in phases if phase.charged and phase.stage},
    )


def _differences(method: str, rows: Sequence[TableRow], rule: SuccessRule) -> list[Difference]:
    last = {row.key.method or row.label: row for row in rows}
    main = last.pop(method, None)
    if main is None:
        return []
    return [
        difference_of(f"{main.label} - {other.label}", main.played.read(), other.played.read(), rule)
        for other in last.values()
    ]
