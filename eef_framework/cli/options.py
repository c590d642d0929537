"""Arguments and options shared by several commands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from eef_framework.cli.printable import printable
from eef_framework.config.loading import load_with_registry
from eef_framework.config.schema import RunConfig
from eef_framework.config.yaml_source import parse_value
from eef_framework.errors import ConfigError
from eef_framework.plugins import Registry, load_plugins

PluginList = Annotated[
    str | None,
    typer.Option("--plugins", metavar="A,B", help="Load only these plugins; built-in components are always available."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change a setting: --set explore.simulations=2. Repeatable."),
]
EnvironmentName = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="The environment, same as --set environment=NAME.")
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Random seed, same as --set seed=N.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"eef-framework {metadata.version('eef-framework')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]
Recipe = Annotated[str, typer.Argument(metavar="RECIPE_OR_CONFIG", help="Name of a recipe, or path of a YAML file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/demo.")]


def selected(plugins: str | None) -> list[str] | None:
    """Parse the option `--plugins`."""
    return None if plugins is None else [name.strip() for name in plugins.split(",") if name.strip()]


def assignment(text: str) -> tuple[str, Any]:
    """Parse a `KEY=VALUE` of the option `--set`. The value is YAML.

    Raises:
        ConfigError: there is no `=`, or the value isn't valid YAML.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r} has no `=`", "Use --set KEY=VALUE.", code="no-value", given=text)
    return key.strip(), parse_value(value, f"--set {text}")


def compose(
    recipe: str | Path | None,
    plugins: str | None = None,
    environment: str | None = None,
    seed: int | None = None,
    assignments: Sequence[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    iterations: int | None = None,
) -> tuple[RunConfig, Registry]:
    """Load plugins and configuration. Settings in the variables of `environ` count as well.

    Raises:
        ConfigError: the configuration is invalid; an option and an assignment give a setting two values (`two-values`).
        PluginError: a requested plugin is broken.
    """
    selection = selected(plugins)
    plugin_list = None if selection is None else f"[{','.join(selection)}]"
    options = {"plugins": plugin_list, "environment": environment, "seed": seed, "iterations": iterations}
    overrides = [f"{key}={value}" for key, value in options.items() if value is not None]
    _check_once(overrides, assignments or ())
    overrides += assignments or ()
    return load_with_registry(recipe, overrides, environ, None if selection is None else load_plugins(selection))


def _check_once(options: Sequence[str], assignments: Sequence[str]) -> None:
    """Reject a `KEY=VALUE` that gives another value to what an option sets: which of them comes later isn't known."""
    set_by_options = dict(map(assignment, options))
    for text in assignments:
        key, value = assignment(text)
        setting = "environment" if key == "environment.name" else key
        if setting in set_by_options and (other := set_by_options[setting]) != value:
            option = "--env" if setting == "environment" else f"--{setting}"
            raise ConfigError(
                f"{option} and --set {text} give {setting!r} two values: {other!r} and {value!r}",
                "Remove one of them.",
                code="two-values",
                setting=setting,
                values=[other, value],
            )


def say(result: str) -> None:
    """Print a command's result on one line, without wrapping."""
    Console(highlight=False).print(printable(result), soft_wrap=True, markup=False, emoji=False)
