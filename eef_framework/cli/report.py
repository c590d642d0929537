"""`eef report`: writes the HTML report of a run."""

from __future__ import annotations

from eef_framework.cli.options import RunFolder, say
from eef_framework.errors import StorageError
from eef_framework.report.build import build_report
from eef_framework.runs import was_run


def report(run: RunFolder) -> None:
    """Write a run's report.html: results, charts and all trajectories. The run may be unfinished."""
    if not was_run(run):
        raise StorageError(
            f"{str(run)!r} isn't a run directory",
            "Give the folder that `eef-run` wrote (--out).",
            code="not-a-run",
            path=str(run),
        )
    say(f"report: {build_report(run)}")
