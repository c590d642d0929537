"""A server in a thread, for tests of clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from eef_serve.app import SERVER_SETTINGS
from eef_serve.sessions import Sessions

START_S = 60.0
"""How long a server may take to start, and to stop."""


@dataclass
class RunningServer:
    """A server that runs.

    Attributes:
        port: its port on 127.0.0.1.
        app: its application.
    """

    port: int
    app: FastAPI

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sessions(self) -> Sessions:
        """Its sessions."""
        found: Sessions = self.app.state.sessions
        return found


@contextmanager
def running(app: FastAPI, port: int = 0) -> Iterator[RunningServer]:
    """Run a server on this machine, and stop it at the end.

    Args:
        app: what `create_app` returned.
        port: the port; 0 for any free one.

    Raises:
        RuntimeError: it doesn't start.
    """
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error", **SERVER_SETTINGS))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise RuntimeError("the server doesn't start")
        time.sleep(0.01)
    try:
        yield RunningServer(server.servers[0].sockets[0].getsockname()[1], app)
    finally:
        server.should_exit = True
        thread.join(timeout=START_S)
