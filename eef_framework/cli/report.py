"""`eef report`: the page of a run."""

from __future__ import annotations

from eef_framework.cli.options import RunFolder, say
from eef_framework.report.build import build_report


def report(run: RunFolder) -> None:
    """Write a run's report.html: results, charts, every trajectory. Unfinished runs have one too."""
    say(f"report: {build_report(run)}")
