"""The hooks a plugin may implement, each decorated with `hookimpl`. The core's own parts use them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from eef_framework.interfaces import (
    Attributor,
    Component,
    Environment,
    Executor,
    Expert,
    Filter,
    Policy,
    Tracker,
    TrainablePolicy,
    Trainer,
)

if TYPE_CHECKING:
    import typer

GROUP = "eef_framework"
"""The entry-point group, and pluggy's project name."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def register_components(register: Callable[[*tuple[type[Component], ...]], None]) -> None:
    """Call `register(cls, ...)` for components of any kind; the other hooks each take one kind."""


@hookspec
def register_environments(register: Callable[[type[Environment]], None]) -> None:
    """Call `register(cls)` for every environment."""


@hookspec
def register_experts(register: Callable[[type[Expert]], None]) -> None:
    """Call `register(cls)` for every expert."""


@hookspec
def register_policies(register: Callable[[type[Policy] | type[TrainablePolicy]], None]) -> None:
    """Call `register(cls)` for every policy."""


@hookspec
def register_attributors(register: Callable[[type[Attributor]], None]) -> None:
    """Call `register(cls)` for every attributor."""


@hookspec
def register_filters(register: Callable[[type[Filter]], None]) -> None:
    """Call `register(cls)` for every filter."""


@hookspec
def register_trainers(register: Callable[[type[Trainer]], None]) -> None:
    """Call `register(cls)` for every trainer."""


@hookspec
def register_executors(register: Callable[[type[Executor]], None]) -> None:
    """Call `register(cls)` for every executor."""


@hookspec
def register_trackers(register: Callable[[type[Tracker]], None]) -> None:
    """Call `register(cls)` for every tracker."""


@hookspec
def register_recipes(register: Callable[[Path | Mapping[str, Path]], None]) -> None:
    """Call `register(folder)` for a folder of YAML files, named by their stems, or `register({name: path})`.

    A comment at the top of a file says what its recipe does: `eef plugins` shows the first sentence.
    """


@hookspec
def register_commands(cli: typer.Typer) -> None:
    """Add commands to `eef`: `cli.command("name")(function)`, or `cli.add_typer(app, name="name")`."""
