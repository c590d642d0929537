"""`eef-run`: a whole run, from the expert's demonstrations to the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_framework.cli.errors import EPILOG, run_app, warn
from eef_framework.cli.options import (
    Assignments,
    EnvironmentName,
    PluginList,
    Seed,
    Version,
    assignment,
    compose,
    say,
    selected,
)
from eef_framework.cli.seeds import SeedRuns
from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError
from eef_framework.paths import expand
from eef_framework.plugins import Registry, load_plugins
from eef_framework.runs import RunLayout
from eef_framework.runs.places import is_run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


RecipeOrRun = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE_OR_CONFIG_OR_RUN",
        help="Name of a recipe, path of a YAML file, or a run directory to resume with its own settings.",
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(
        "--iterations",
        metavar="N",
        min=0,
        help="Number of iterations, same as --set iterations=N. A finished run continues if N is larger.",
    ),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="RUN", help="The run directory. Default: runs/RECIPE.")]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        min=1,
        help="Do N runs with seeds --seed, --seed + 1, ... in folders of runs/RECIPE-seeds, and compare them.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", min=1, help="With --seeds: number of parallel runs. Default: 1."),
]
PerSeed = Annotated[
    list[str] | None,
    typer.Option(
        "--per-seed",
        metavar="KEY",
        help="With --seeds: a setting that is set to the seed, such as environment.catalogue_seed. Repeatable.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the configuration and the plan, and exit.")]


@app.command(epilog=EPILOG)
def run(
    recipe: RecipeOrRun = "demo",
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
    iterations: Iterations = None,
    out: Out = None,
    seeds: Seeds = None,
    jobs: Jobs = None,
    per_seed: PerSeed = None,
    dry_run: DryRun = False,
    version: Version = False,
) -> None:
    """Fine-tune an agent on an expert's successes and failures.

    Without arguments, it compares EEF with a baseline on a small generated shop, which takes minutes on a laptop.
    To resume an interrupted run, repeat the command, or name its run directory.
    """
    if seeds is None:
        _check_seeds_not_needed(jobs, per_seed)
    assignments = assignments or []
    existing = expand(recipe)
    if existing.is_dir() and recipe not in load_plugins(selected(plugins)).recipes:  # a folder may have a recipe's name
        _check_run(existing, out, seeds)
        out = existing
        # Its settings are recorded, those of environment variables included.
        config, registry = compose(RunLayout(existing).config, plugins, env, seed, assignments, {}, iterations)
    else:
        config, registry = compose(recipe, plugins, env, seed, assignments, iterations=iterations)
    for plugin in registry.broken:
        warn(f"{plugin} is broken and not loaded; `eef plugins` shows why.")
    folder = out or Path("runs") / f"{Path(recipe).stem}{'-seeds' if seeds else ''}"
    if seeds is not None:
        assignments = [each for each in assignments if assignment(each)[0] != "seed"]  # the first seed, as --seed
        given = {"--plugins": plugins, "--env": env, "--iterations": iterations}
        options = [recipe, *(word for name, value in given.items() if value is not None for word in (name, str(value)))]
        options += [word for each in assignments for word in ("--set", each)]
        wanted = range(config.seed, config.seed + seeds)
        runs = SeedRuns(options, wanted, per_seed or (), folder, min(jobs or 1, seeds))
        assignments += runs.settings(config.seed)
        config, registry = compose(recipe, plugins, env, config.seed, assignments, iterations=iterations)
        if not dry_run:
            _run_seeds(runs)
            return
        runs.check_folder()
        folder = runs.run_folder(config.seed)
    if dry_run:
        _show_plan(config, registry, folder)
    else:
        _run_pipeline(config, registry, folder)


def main() -> None:
    """Entry point of `eef-run`."""
    run_app(app)


def _check_seeds_not_needed(jobs: int | None, per_seed: list[str] | None) -> None:
    """Reject options that would have no effect without --seeds."""
    option = "--jobs" if jobs is not None else "--per-seed" if per_seed else ""
    if option:
        raise ConfigError(
            f"{option} was given without --seeds, and one run has no use for it",
            f"Add --seeds N, or remove {option}.",
            code="needs-seeds",
            option=option,
        )


def _check_run(folder: Path, out: Path | None, seeds: int | None) -> None:
    """Check that a folder that was given instead of a recipe is a run, and that no option names another folder."""
    if not is_run(folder):
        raise ConfigError(
            f"{str(folder)!r} isn't a run directory",
            "Give a run directory, a recipe or a YAML file.",
            code="not-a-run",
            path=str(folder),
        )
    option = "--seeds" if seeds is not None else "--out" if out is not None and expand(out) != folder else ""
    if option:
        raise ConfigError(
            f"{option} is for new runs, and {str(folder)!r} is a run that exists",
            f"Remove {option}, or give a recipe or a YAML file, such as {str(RunLayout(folder).config)!r}.",
            code="run-exists",
            option=option,
        )


def _run_pipeline(config: RunConfig, registry: Registry, folder: Path) -> None:
    """Do one run and print its results."""
    from eef_framework.evaluation.formatting import results
    from eef_framework.pipeline import run as run_pipeline

    console = Console()
    done = run_pipeline(config, registry, folder, console)
    console.print(results(done.metrics))
    say(f"report: {done.report}")


def _run_seeds(runs: SeedRuns) -> None:
    """Do several runs and print their comparison."""
    from eef_framework.comparison import compare_runs
    from eef_framework.comparison.tables import as_text

    typer.echo(as_text(compare_runs(runs.run(), allow=runs.per_seed)), nl=False)
    say(f"compare again: eef compare {runs.folder}" + "".join(f" --allow {key}" for key in runs.per_seed))


def _show_plan(config: RunConfig, registry: Registry, folder: Path) -> None:
    """Print the configuration as YAML on stdout, and the plan on stderr."""
    import yaml

    from eef_framework.pipeline.plan import plan, plan_table

    found = plan(config, registry, folder)
    typer.echo(yaml.safe_dump(found.config, sort_keys=False, allow_unicode=True, width=sys.maxsize), nl=False)
    Console(stderr=True).print(plan_table(found))
