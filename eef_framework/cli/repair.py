"""`eef repair`: set lines of a file of records aside that don't read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_framework.cli.records import record_of
from eef_framework.runs import repair as repair_rows


def repair(file: Annotated[Path, typer.Argument(metavar="FILE", help="A .jsonl file of a run.")]) -> None:
    """Set the lines of a file that don't read aside; repeating the run redoes just those."""
    good, bad = repair_rows(file, record_of(file))
    aside = f", {bad} set aside in {file.name}.bad" if bad else "; nothing to repair"
    Console(highlight=False).print(f"{file}: {good} good rows{aside}", soft_wrap=True)
