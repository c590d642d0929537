"""The environment `remote`: a client of `eef serve`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from eef_framework.errors import ConfigError, EnvironmentFailure, ReplayDivergence
from eef_framework.interfaces import Environment, Session
from eef_framework.keys import read_key
from eef_framework.records import Step, Task, Tool, fingerprint
from eef_serve.wire import PROTOCOL, Opened, Problem, Stepped, TaskPage, World

if TYPE_CHECKING:
    import httpx

R = TypeVar("R", bound=BaseModel)

BUSY = (
    HTTPStatus.TOO_MANY_REQUESTS,  # all sessions are taken
    HTTPStatus.BAD_GATEWAY,  # these two come from a proxy whose server restarts
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""Statuses with which a request is repeated."""


class RemoteEnvironment(Environment):
    """An environment that another process serves, on this machine or another one (`eef serve`).

    A session that the server lost, because it restarted or closed it, is restored from its actions.
    """

    name: ClassVar[str] = "remote"
    blocking: ClassVar[bool] = True

    url: str = Field(pattern=r"^https?://\S+$")
    """Address of the server, such as `http://127.0.0.1:8023`."""
    token_env: str = "EEF_SERVE_TOKEN"
    """Name of the environment variable with the token."""
    timeout_s: float = Field(default=150.0, gt=0)
    """Maximum time for one request."""
    retry_s: float = Field(default=60.0, ge=0)
    """How long to repeat requests to a server that can't be reached or has no free session."""

    _client: Any = PrivateAttr(default=None)
    _world: World | None = PrivateAttr(default=None)
    _tasks: dict[str, list[Task]] = PrivateAttr(default_factory=dict)

    def preflight(self) -> None:
        """Look for the token.

        Raises:
            ConfigError: the environment variable isn't set (`no-key`), or can't be a token (`bad-key`).
        """
        self._token()

    @property
    def instructions(self) -> str:
        """The instructions of the environment that is served."""
        return self.world.instructions

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools of the environment that is served."""
        return self.world.tools

    @property
    def max_sessions(self) -> int:
        """Maximum number of sessions of one client."""
        return self.world.max_sessions

    @property
    def longest_episode(self) -> int | None:
        """The limit of the environment that is served."""
        return self.world.longest_episode

    @property
    def world(self) -> World:
        """What the server says about its environment.

        Raises:
            EnvironmentFailure: the server can't be reached, or speaks another protocol.
        """
        if self._world is None:
            self._world = self.request("GET", "environment", World)
            if self._world.protocol != PROTOCOL:
                raise EnvironmentFailure(
                    f"the server speaks protocol {self._world.protocol}, this client {PROTOCOL}",
                    "Install the same version of eef-serve on both sides.",
                    code="other-protocol",
                )
        return self._world

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the server's tasks."""
        if split not in self._tasks:
            found: list[Task] = []
            while True:
                page = self.request("GET", f"tasks?split={quote(split)}&offset={len(found)}", TaskPage)
                found += [task.changed(environment=self.component_name()) for task in page.tasks]
                if not page.tasks or len(found) >= page.total:
                    break
            self._tasks[split] = found
        return self._tasks[split]

    def open(self, task: Task) -> Session:
        """Open a session on the server.

        Raises:
            EnvironmentFailure: the server doesn't have the task, or can't be reached.
        """
        return RemoteSession(self, task, self.opened(task, ()))

    def opened(self, task: Task, actions: Sequence[str]) -> Opened:
        """Open a session on the server, in the state that actions lead to."""
        body = {"split": task.split, "task": task.id, "actions": list(actions)}
        return self.request("POST", "sessions", Opened, body)

    def request(self, method: str, path: str, answer: type[R], body: dict[str, Any] | None = None) -> R:
        """Send a request, and repeat it while the server can't be reached or is full.

        Raises:
            EnvironmentFailure: it is refused (with the server's code), or `server-unreachable`.
            ConfigError: the server refuses the token, or the request's settings.
        """
        import httpx

        end = time.monotonic() + self.retry_s
        pause = 0.1
        while True:
            try:
                response = self._http().request(method, f"/v{PROTOCOL}/{path}", json=body)
            except httpx.HTTPError as cause:
                if time.monotonic() + pause > end:
                    raise EnvironmentFailure(
                        f"the server at {self.url} can't be reached: {type(cause).__name__}: {cause}",
                        "Start it (`eef serve`), or check `url`.",
                        code="server-unreachable",
                        url=self.url,
                    ) from cause
            else:
                if response.status_code not in BUSY or time.monotonic() + pause > end:
                    return self._read(response, answer)
            time.sleep(pause)
            pause = min(2.0, 2 * pause)

    def delete(self, session: str) -> None:
        """Close a session on the server. If that fails, the server closes it later."""
        import httpx

        for _ in range(2):  # the server closes a connection after a failure, perhaps just when this is sent
            with suppress(httpx.HTTPError):
                self._http().delete(f"/v{PROTOCOL}/sessions/{session}", timeout=5.0)
                return

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _http(self) -> httpx.Client:
        if self._client is None:
            import httpx

            self._client = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=httpx.Timeout(self.timeout_s, connect=5.0),
                limits=httpx.Limits(max_connections=64),
                trust_env=not self._local(),
            )
        client: httpx.Client = self._client
        return client

    def _local(self) -> bool:
        """Return whether the server is on this machine: proxies don't apply."""
        return any(name in self.url for name in ("//127.", "//localhost", "//[::1]"))

    def _token(self) -> str:
        token = read_key(self.token_env)
        if not token:
            raise ConfigError(
                f"the environment `remote` needs the server's token, and the variable {self.token_env} isn't set",
                f"export {self.token_env}=..., with the token that `eef serve` printed.",
                code="no-key",
                variable=self.token_env,
            )
        return token

    def _read(self, response: httpx.Response, answer: type[R]) -> R:
        if response.is_success:
            try:
                return answer.model_validate_json(response.content)
            except ValidationError as cause:
                raise EnvironmentFailure(
                    f"the server at {self.url} doesn't answer as `eef serve` does: {cause.errors()[0]['msg']}",
                    "Check `url`, and that both sides have the same version of eef-serve.",
                    code="other-protocol",
                    url=self.url,
                ) from cause
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            fix = "Check `url`: something else answered, perhaps a proxy."
            problem = Problem(code="server-failed", message=f"status {response.status_code}", fix=fix)
        kind = ConfigError if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.BAD_REQUEST) else None
        raise (kind or EnvironmentFailure)(
            f"the server at {self.url} refused a request: {problem.message}",
            problem.fix,
            code=problem.code,
            url=self.url,
        )


class RemoteSession(Session):
    """A session on a server."""

    def __init__(self, environment: RemoteEnvironment, task: Task, opened: Opened) -> None:
        super().__init__(environment, task, opened.observation)
        self._remote = environment
        self._id = opened.session
        self._reward = opened.reward

    @property
    def reward(self) -> float:
        """The episode's reward so far, by the environment's own rule."""
        return self._reward

    def perform(self, action: str) -> Step:
        """Carry out an action on the server.

        Raises:
            ReplayDivergence: the session had to be restored, and other observations came.
            EnvironmentFailure: the server failed.
        """
        body = {"at": len(self.steps), "action": action}
        try:
            found = self._remote.request("POST", f"sessions/{self._id}/step", Stepped, body)
        except EnvironmentFailure as lost:
            if lost.code not in ("unknown-session", "other-state"):
                raise
            self._restore()
            found = self._remote.request("POST", f"sessions/{self._id}/step", Stepped, body)
        self._reward = found.reward
        return found.step

    def duplicate(self) -> Self | None:
        """Fork the session on the server, or restore it from its actions."""
        import copy

        twin = copy.copy(self)
        try:
            twin._id = self._remote.request("POST", f"sessions/{self._id}/fork", Opened).session
        except EnvironmentFailure as lost:
            if lost.code != "unknown-session":
                raise
            twin._restore()
        return twin

    def release(self) -> None:
        """Close the session on the server."""
        self._remote.delete(self._id)

    def _restore(self) -> None:
        actions = [step.action for step in self.steps]
        opened = self._remote.opened(self.task, actions)
        known = [fingerprint(each.text) for each in (self.initial, *(step.observation for step in self.steps))]
        for state, (expected, actual) in enumerate(zip(known, opened.observations, strict=True)):
            if expected != actual:
                self._remote.delete(opened.session)
                raise ReplayDivergence(
                    f"restoring task {self.task.id!r} on the server diverged in state {state}",
                    "The server's environment isn't deterministic, or its version or data changed.",
                    code="replay-diverged",
                    state=state,
                )
        self._id = opened.session
