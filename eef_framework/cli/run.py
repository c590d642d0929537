"""`eef-run`: a whole run, from demonstrations to the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_framework.cli.errors import EPILOG, run_app, warn
from eef_framework.cli.options import Assignments, EnvironmentName, PluginList, Seed, Version, compose, say
from eef_framework.config.schema import RunConfig
from eef_framework.plugins import Registry

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=EPILOG)
def run(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE_OR_CONFIG", help="A recipe's name, or the path of a YAML file.")
    ] = "demo",
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="The run directory; runs/RECIPE by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    version: Version = False,
) -> None:
    """Fine-tune an agent on an expert's successes and failures.

    Without arguments: a comparison of EEF with its baselines on a small shop, which a laptop finishes in minutes.
    Repeating a command takes an interrupted run up where it stopped.
    """
    console = Console()
    config, registry = compose(recipe, plugins, env, seed, assignments)
    for plugin in registry.broken:
        warn(f"{plugin} is broken and left out; `eef plugins` shows why.")
    folder = out or Path("runs") / Path(recipe).stem
    if dry_run:
        _show_plan(config, registry, folder)
        return
    from eef_framework.evaluation.formatting import results
    from eef_framework.pipeline import run as run_pipeline

    done = run_pipeline(config, registry, folder, console)
    console.print(results(done.metrics))
    say(f"report: {done.report}")


def main() -> None:
    """Entry point of `eef-run`."""
    run_app(app)


def _show_plan(config: RunConfig, registry: Registry, folder: Path) -> None:
    """Print the configuration as YAML that can be used as one, and beside it, on stderr, the plan."""
    import yaml

    from eef_framework.pipeline.plan import plan, plan_table

    found = plan(config, registry, folder)
    typer.echo(yaml.safe_dump(found.config, sort_keys=False, allow_unicode=True, width=sys.maxsize), nl=False)
    Console(stderr=True).print(plan_table(found))
