from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from eef_serve.app import create_app
from eef_serve.sessions import Limits
from eef_serve.testing import RunningServer, running

from eef_framework.interfaces import Environment
from eef_framework.testing.corridor import Corridor


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of the servers, also in the variable that clients read."""
    monkeypatch.setenv("EEF_SERVE_TOKEN", "a-token-of-the-tests")
    return "a-token-of-the-tests"


@pytest.fixture
def start(token: str) -> Iterator[Callable[..., RunningServer]]:
    """Start real servers on free ports of this machine, each in a thread."""
    with ExitStack() as stack:

        def start(
            environment: Environment | None = None,
            limits: Limits | None = None,
            tokens: Mapping[str, str] | None = None,
            port: int = 0,
        ) -> RunningServer:
            app = create_app(environment or Corridor(), tokens or {"tests": token}, limits)
            return stack.enter_context(running(app, port))

        yield start
