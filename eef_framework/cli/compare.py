"""`eef compare`: compares runs, with seeds pooled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories, or folders of run directories (eef-run --seeds)."),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", metavar="LABEL", help="Compare all rows with this one. Default: the main method's last row."
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="KEY", help="A setting in which the protocols may differ. Repeatable."),
    ] = None,
    style: Annotated[
        Literal["text", "markdown", "latex", "csv"], typer.Option("--format", help="Format of the tables.")
    ] = "text",
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Also draw a figure: .svg, .pdf or .png.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with tables and charts.")
    ] = None,
) -> None:
    """Compare runs: seeds are pooled, rows paired by seed and task, with intervals over seeds and over tasks.

    Runs whose configurations differ only in the seed are the seeds of one experiment. Runs with different protocols
    (environment, tasks, step limit, success rule) are refused. Unfinished runs in a folder are left out.
    """
    from eef_framework.comparison import compare_runs
    from eef_framework.comparison.figure import check_figure, draw
    from eef_framework.comparison.tables import render
    from eef_framework.report.comparison_page import build_comparison_page, check_comparison_page

    if figure is not None:
        check_figure(figure)
    if html is not None:
        check_comparison_page(html)
    found = compare_runs(runs, reference, allow or ())
    typer.echo(render(found, style), nl=False)
    if figure is not None:
        draw(found, figure)
    if html is not None:
        build_comparison_page(found, html)
