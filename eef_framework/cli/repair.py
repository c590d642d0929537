"""`eef repair`: moves unreadable lines out of a file of records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import say
from eef_framework.evaluation.formatting import plural
from eef_framework.runs import repair as repair_rows


def repair(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of records, in a run directory or elsewhere.")],
) -> None:
    """Move unreadable lines of a file of records to another file.

    If the file belongs to a run, resuming the run redoes only those, and what failed: lost episodes and attributions.
    """
    done = repair_rows(file)
    kept = f"{plural(done.good, done.kind.__name__.lower())} kept" if done.kind else "no rows are left"
    what = f"{plural(done.bad, 'line')} moved to {done.aside}" if done.aside else "nothing to repair"
    failed = f", {done.failed} of which failed" if done.failed else ""
    say(f"{file}: {kept}{failed}; {what}")
    if done.reopened:
        say(f"Stage {done.reopened!r} is incomplete now: resume the run to redo what is missing or failed.")
