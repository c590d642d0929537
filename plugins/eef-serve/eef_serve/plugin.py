"""Registers the environment `remote` and the command `eef serve`."""

from __future__ import annotations

from collections.abc import Callable

import typer

from eef_framework.interfaces import Environment
from eef_framework.plugins import hookimpl
from eef_serve.command import serve
from eef_serve.remote import RemoteEnvironment


@hookimpl
def register_environments(register: Callable[[type[Environment]], None]) -> None:
    """Register the client of a server."""
    register(RemoteEnvironment)


@hookimpl
def register_commands(cli: typer.Typer) -> None:
    """Add the server."""
    cli.command("serve")(serve)
