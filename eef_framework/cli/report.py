"""`eef report`: writes the HTML report of a run."""

from __future__ import annotations

from pathlib import Path

from eef_framework.cli.options import RunFolder, say
from eef_framework.errors import StorageError
from eef_framework.report.build import build_report
from eef_framework.runs import is_run


def report(run: RunFolder) -> None:
    """Write a run's report.html: results, charts and all trajectories. The run may be unfinished."""
    if not is_run(run) and not _was_run(run):
        raise StorageError(
            f"{str(run)!r} isn't a run directory",
            "Give the folder that `eef-run` wrote (--out).",
            code="not-a-run",
            path=str(run),
        )
    say(f"report: {build_report(run)}")


def _was_run(folder: Path) -> bool:
    """Return whether a folder is a run directory with a missing or damaged manifest."""
    return (folder / "config.yaml").is_file() and any(folder.glob("*/stage.json"))
