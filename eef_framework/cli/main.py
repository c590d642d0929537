"""`eef`: all commands except `eef-run`."""

from __future__ import annotations

import typer

from eef_framework.cli.check import check
from eef_framework.cli.compare import compare
from eef_framework.cli.convert import convert
from eef_framework.cli.errors import EPILOG, run_app
from eef_framework.cli.join import join
from eef_framework.cli.models import models
from eef_framework.cli.options import Version
from eef_framework.cli.phases import COMMANDS
from eef_framework.cli.play import play
from eef_framework.cli.plugins import plugins
from eef_framework.cli.repair import repair
from eef_framework.cli.report import report
from eef_framework.cli.view import view
from eef_framework.plugins import load_plugins

app = typer.Typer(
    name="eef",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def eef(version: Version = False) -> None:
    """Inspect plugins and runs, check components and files, and run single phases. `eef-run` does whole runs."""


for command in (plugins, report, view, compare, play, check, convert, repair, join):
    app.command()(command)
app.add_typer(models)
for phase in COMMANDS:
    app.command(rich_help_panel="Phases of a run, from files to files")(phase)


def main() -> None:
    """Entry point of `eef`, with the commands that plugins add."""
    for plugin in load_plugins().plugins:
        plugin.add_commands(app)
    run_app(app, resumable=[phase.__name__ for phase in COMMANDS])
