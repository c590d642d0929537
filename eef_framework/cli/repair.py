"""`eef repair`: set lines of a file of records aside that don't read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import say
from eef_framework.evaluation.formatting import plural
from eef_framework.runs import repair as repair_rows


def repair(file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of records, in a run or not.")]) -> None:
    """Set the lines of a file aside that don't read, unchanged; repeating a run redoes just those."""
    done = repair_rows(file)
    what = f"{plural(done.bad, 'line')} set aside in {done.aside}" if done.aside else "nothing to repair"
    say(f"{file}: {plural(done.good, done.kind.__name__.lower())} kept; {what}")
    if done.reopened:
        say(f"Stage {done.reopened!r} is open again: repeat the run, and it does what is missing.")
