"""The result of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from eef_framework.comparison.protocol import flattened
from eef_framework.evaluation.formatting import html_table
from eef_framework.evaluation.run_results import frame
from eef_framework.records import Estimate
from eef_framework.records.base import Record

if TYPE_CHECKING:
    import pandas


class ComparedRow(Record):
    """One actor, over all seeds."""

    label: str
    """The row's label in the runs; where several experiments are compared, `EXPERIMENT: LABEL`."""
    experiment: str
    """Name of the experiment: runs whose configurations differ in the seed only."""
    seeds: tuple[int, ...]
    success_over_seeds: Estimate
    """Mean success rate, with its interval over seeds; without bounds where seeds don't differ."""
    success_over_tasks: Estimate
    """The same mean, with its interval over tasks."""
    reward: Estimate
    """Mean reward, with its interval over seeds."""
    simulations: float
    """Mean number of the agent's training episodes."""
    tokens: float
    """Mean number of tokens, in acting and training."""
    usd: float
    """Mean price of answers, in US dollars."""
    per_seed: tuple[float, ...]
    """Success rate of each seed."""


class ComparedDifference(Record):
    """Success rate of one actor minus that of another, paired by seed and task."""

    first: str
    second: str
    seeds: tuple[int, ...]
    """The seeds that both have."""
    over_seeds: Estimate
    """Mean difference, with its interval over seeds; without bounds where seeds don't differ."""
    over_tasks: Estimate
    """The same difference, with its interval over tasks."""
    per_seed: tuple[float, ...]


class ComparedExperiment(Record):
    """Runs whose configurations differ in the seed only."""

    name: str
    runs: tuple[str, ...]
    """Their run directories."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The settings in which the experiments differ."""


class Comparison(Record):
    """Several runs side by side."""

    protocol: dict[str, Any] = Field(default_factory=dict)
    """How all of them were measured: world, tasks, step limit, success rule."""
    rows: tuple[ComparedRow, ...] = ()
    differences: tuple[ComparedDifference, ...] = ()
    experiments: tuple[ComparedExperiment, ...] = ()
    notes: tuple[str, ...] = ()
    """Notes for readers of the numbers."""

    def rows_frame(self) -> pandas.DataFrame:
        """Return the rows as a data frame.

        Raises:
            EefError: pandas isn't installed.
        """
        return frame(_flat(row) for row in self.rows)

    def differences_frame(self) -> pandas.DataFrame:
        """Return the differences as a data frame.

        Raises:
            EefError: pandas isn't installed.
        """
        return frame(_flat(difference) for difference in self.differences)

    def __repr__(self) -> str:
        names = ", ".join(repr(each.name) for each in self.experiments)
        lines = [
            f"\n  {label}: {value} {unit}, {seeds} over {count} seed{'' if count == '1' else 's'}, {tasks} over tasks"
            for unit, (label, value, seeds, tasks, count) in self._results()
        ]
        return f"comparison of {names or 'no runs'}{''.join(lines)}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Show the rows and differences in a notebook."""
        heads = ("", "success %", "over seeds", "over tasks", "seeds")
        return html_table(heads, (cells for _, cells in self._results()))

    def _results(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the unit of each row and difference, and its label, value, two intervals and number of seeds."""
        for row in self.rows:
            over_seeds, over_tasks = interval(row.success_over_seeds), interval(row.success_over_tasks)
            value = f"{100 * row.success_over_tasks.mean:.1f}"
            yield "%", (row.label, value, over_seeds, over_tasks, str(len(row.seeds)))
        for each in self.differences:
            over_seeds, over_tasks = interval(each.over_seeds, "+"), interval(each.over_tasks, "+")
            label, value = f"{each.first} - {each.second}", f"{100 * each.over_tasks.mean:+.1f}"
            yield "points", (label, value, over_seeds, over_tasks, str(len(each.seeds)))


def interval(estimate: Estimate, sign: str = "") -> str:
    """Write the bounds of a share in percent; `-` where a single seed has none.

    Args:
        estimate: the share, between -1 and 1.
        sign: `+` to write the sign of positive numbers, too.
    """
    if not math.isfinite(estimate.low):
        return "-"
    return f"[{100 * estimate.low:{sign}.1f}, {100 * estimate.high:{sign}.1f}]"


def _flat(record: Record) -> dict[str, Any]:
    return {key.replace(".", "_"): value for key, value in flattened(record.model_dump())}
