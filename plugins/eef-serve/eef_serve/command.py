"""`eef serve`: an environment over HTTP."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eef_framework.cli.options import PluginList, assignment, selected
from eef_framework.errors import ConfigError, storage
from eef_framework.plugins import load_plugins

if TYPE_CHECKING:
    from fastapi import FastAPI

TOKEN_VARIABLE = "EEF_SERVE_TOKEN"
SHORTEST_TOKEN = 16


def serve(
    env: Annotated[str, typer.Argument(metavar="ENV", help="The environment (`shop`, `my_module:MyClass`).")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="A setting of the environment. Repeatable."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for any free one.")] = 8023,
    token_file: Annotated[
        Path | None,
        typer.Option("--tokens", metavar="FILE", help="A file with a line `CLIENT TOKEN` for each client."),
    ] = None,
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Maximum number of open sessions.")] = 1000,
    per_client: Annotated[
        int | None, typer.Option("--sessions-per-client", min=1, help="Maximum number for each client.")
    ] = None,
    idle: Annotated[
        float, typer.Option("--idle", min=0.1, help="Seconds after which a session that isn't used is closed.")
    ] = 600.0,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", min=0.1, help="Maximum seconds for one step, if steps are done in threads (`blocking`)."
        ),
    ] = 120.0,
    plugins: PluginList = None,
) -> None:
    """Serve an environment over HTTP: open, step, fork, restore, close.

    Clients need a token: that of the environment variable EEF_SERVE_TOKEN, those of --tokens, or else a new one, which
    is printed. The environment `remote` is a client; so are those of OpenEnv.
    """
    from eef_serve.app import create_app
    from eef_serve.sessions import Limits

    registry = load_plugins(selected(plugins))
    spec = {"name": env, **dict(map(assignment, settings or ()))}
    tokens = _tokens(token_file)
    with registry.build("environment", spec) as environment:
        environment.preflight()
        limits = Limits(sessions=sessions, per_client=per_client, idle_s=idle, step_s=timeout)
        _listen(create_app(environment, tokens, limits), host, port, f"serving {environment.component_name()}")


def _listen(app: FastAPI, host: str, port: int, title: str) -> None:
    import uvicorn

    from eef_serve.app import SERVER_SETTINGS

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets)  # type: ignore[arg-type]
            for server in self.servers:
                for socket in server.sockets:
                    at, number = socket.getsockname()[:2]
                    typer.echo(f"{title} on http://{f'[{at}]' if ':' in at else at}:{number}")

    config = uvicorn.Config(
        app, host, port, log_level="warning", access_log=False, timeout_keep_alive=60, **SERVER_SETTINGS
    )
    Server(config).run()


def _tokens(file: Path | None) -> dict[str, str]:
    """Return the tokens: client -> token."""
    if file is None:
        given = os.environ.get(TOKEN_VARIABLE, "")
        if given:
            return {"client": _checked(given, f"the environment variable {TOKEN_VARIABLE}")}
        token = secrets.token_urlsafe(24)
        typer.echo(f"token: {token}", err=True)
        return {"client": token}
    found: dict[str, str] = {}
    with storage(file, "reading"):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            where = f"line {number} of {str(file)!r}"
            if len(words) != 2 or words[0] in found or words[1] in found.values():
                raise ConfigError(
                    f"{where} isn't `CLIENT TOKEN`, or has a client or a token again", code="bad-token", line=number
                )
            found[words[0]] = _checked(words[1], where)
    if not found:
        raise ConfigError(
            f"{str(file)!r} has no token", "Write a line `CLIENT TOKEN` for each client.", code="bad-token"
        )
    return found


def _checked(token: str, where: str) -> str:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"the token in {where} is too short, or has characters that a header can't hold",
            f"Use at least {SHORTEST_TOKEN} ASCII characters without blanks.",
            code="bad-token",
        )
    return token
