"""`eef view`: writes an HTML page of a file of trajectories or examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import say
from eef_framework.evaluation.formatting import plural
from eef_framework.records import SuccessRule
from eef_framework.report.view import build_view


def view(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file or folder of trajectories or examples, in any format.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PAGE", help="The page to write. Default: FILE.html in the current folder."),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--success", metavar="REWARD", help="Smallest reward that counts as a success.")
    ] = 1.0,
) -> None:
    """Write an HTML page with all trajectories or examples of a file: steps, thoughts, loss, filters."""
    page = out or Path(f"{file.resolve().name}.html")
    shown = build_view(file, page, SuccessRule(threshold=threshold))
    say(f"{page}: {plural(shown, 'row')}")
