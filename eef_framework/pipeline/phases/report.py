"""The run's numbers and its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phase import Outcome, Phase
from eef_framework.pipeline.progress import Update
from eef_framework.pipeline.results import TableRow, metrics_of
from eef_framework.report.build import build_report
from eef_framework.runs import RunLayout, write_text


@dataclass(kw_only=True)
class Report(Phase):
    """Writes `metrics.json` and `report.html`, each time anew.

    Attributes:
        layout: the run.
        rows: the rows of the table.
        after: the phases whose costs are told.
    """

    title: str = "report"
    layout: RunLayout
    rows: Sequence[TableRow]
    after: Sequence[Phase]

    charged: ClassVar[bool] = False

    def work(self, context: RunContext, update: Update) -> Outcome:
        """Count, and write both."""
        metrics = metrics_of(context.config.method, self.rows, self.after, context.config.success)
        write_text(self.layout.metrics, metrics.model_dump_json(indent=2) + "\n")
        build_report(self.layout.path)
        return Outcome()
