"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_framework.cli.printable import printable
from eef_framework.config.loading import checked, read_settings, wanted_plugins
from eef_framework.config.schema import RunConfig
from eef_framework.plugins import Registry, load_plugins

PluginList = Annotated[
    str | None,
    typer.Option("--plugins", metavar="A,B", help="Use these plugins only (built-in parts are always there)."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change a setting: --set explore.simulations=2. Repeatable."),
]
EnvironmentName = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="The environment; short for --set environment=NAME.")
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Seed of everything random; short for --set seed=N.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"eef-framework {metadata.version('eef-framework')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]
Recipe = Annotated[str, typer.Argument(metavar="RECIPE_OR_CONFIG", help="A recipe's name, or the path of a YAML file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/demo.")]


def selected(plugins: str | None) -> list[str] | None:
    """Read the option `--plugins`."""
    return None if plugins is None else [name.strip() for name in plugins.split(",") if name.strip()]


def compose(
    recipe: str | Path | None,
    plugins: str | None = None,
    environment: str | None = None,
    seed: int | None = None,
    assignments: Sequence[str] | None = None,
) -> tuple[RunConfig, Registry]:
    """Load plugins and configuration as the options say.

    Raises:
        ConfigError: something is wrong with the configuration.
        PluginError: a plugin that was asked for is broken.
    """
    selection = selected(plugins)
    registry = load_plugins(selection)
    overrides = [
        *([] if selection is None else [f"plugins=[{','.join(selection)}]"]),
        *([] if environment is None else [f"environment={environment}"]),
        *([] if seed is None else [f"seed={seed}"]),
        *(assignments or []),
    ]
    settings = read_settings(recipe, overrides, os.environ, registry)
    limited = wanted_plugins(settings) if selection is None else None
    if limited is not None:  # the configuration itself limits the run
        registry = load_plugins(limited)
    return checked(settings, registry), registry


def say(result: str) -> None:
    """Print a command's result: a line of its own, never wrapped."""
    Console(highlight=False).print(printable(result), soft_wrap=True, markup=False, emoji=False)
