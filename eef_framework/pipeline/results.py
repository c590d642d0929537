"""The table of a run, as it fills."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.evaluation.evaluate import difference_of, evaluation_of
from eef_framework.records import Cost, Difference, ResultRow, RunMetrics, SuccessRule, Trajectory
from eef_framework.runs import Stage


class Results:
    """Rows and costs gathered during a run.

    Args:
        rule: what a success is.
        split: which tasks are held out.
    """

    def __init__(self, rule: SuccessRule, split: str) -> None:
        self._rule = rule
        self._split = split
        self._rows: list[ResultRow] = []
        self._episodes: dict[str, Sequence[Trajectory]] = {}
        self._stages: dict[str, Cost] = {}

    def __contains__(self, label: str) -> bool:
        return label in self._episodes

    def spent(self, name: str, stage: Stage) -> None:
        """Take down what a stage cost."""
        manifest = stage.manifest
        if manifest is not None:
            self._stages[name] = manifest.cost

    def add(
        self, label: str, method: str, iteration: int, episodes: Sequence[Trajectory], spent: Sequence[str]
    ) -> None:
        """Add a row.

        Args:
            label: what it is called.
            method: which method it belongs to; empty where all share it.
            iteration: after which iteration.
            episodes: the held-out episodes.
            spent: stages whose cost it took to get there.
        """
        cost = sum((self._stages[name] for name in spent if name in self._stages), Cost())
        evaluation = evaluation_of(label, episodes, self._rule, self._split)
        self._rows.append(ResultRow(label=label, method=method, iteration=iteration, evaluation=evaluation, cost=cost))
        self._episodes[label] = episodes

    def metrics(self, method: str) -> RunMetrics:
        """Return the whole table, with the main method's last row compared to each other method's last."""
        return RunMetrics(
            threshold=self._rule.threshold,
            rows=tuple(self._rows),
            differences=tuple(self._differences(method)),
            stages=self._stages,
        )

    def _differences(self, method: str) -> list[Difference]:
        last = {row.method or row.label: row.label for row in self._rows}
        main = last.pop(method, None)
        if main is None:
            return []
        return [
            difference_of(f"{main} - {other}", self._episodes[main], self._episodes[other], self._rule)
            for other in last.values()
        ]
