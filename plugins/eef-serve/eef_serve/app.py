"""The server: sessions of one environment over HTTP, and over WebSockets for OpenEnv's clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from eef_framework.errors import EefError
from eef_framework.interfaces import Environment, Session
from eef_serve.access import OPEN_PATH, TOO_LARGE, Access, too_large
from eef_serve.openenv_socket import add_openenv
from eef_serve.problems import malformed, problem_of
from eef_serve.sessions import Limits, Sessions, fingerprints
from eef_serve.wire import PROTOCOL, Opened, OpenRequest, Problem, Stepped, StepRequest, TaskPage, World

ROOT = f"/v{PROTOCOL}"
SERVER_SETTINGS: dict[str, Any] = {"ws": "websockets-sansio", "ws_per_message_deflate": False}
"""Settings of uvicorn's server for this application: WebSockets, whose messages aren't compressed."""
LARGEST_PAGE = 1000
"""Maximum number of tasks in one answer."""


def create_app(environment: Environment, tokens: Mapping[str, str], limits: Limits | None = None) -> FastAPI:
    """Return the application that serves an environment. It doesn't close the environment.

    Args:
        environment: the environment.
        tokens: name of a client -> its token. Each client sees its own sessions only.
        limits: the limits.
    """
    limits = limits or Limits()
    sessions = Sessions(environment, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Close idle sessions while the server runs, and all sessions when it ends."""
        task = asyncio.create_task(_close_idle(sessions))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            sessions.close_all()

    app = FastAPI(title=f"eef serve {environment.component_name()}", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.sessions = sessions
    app.add_middleware(Access, tokens=tokens, body=limits.body)
    _add_errors(app, limits.body)
    _add_routes(app, environment, sessions)
    add_openenv(app, sessions)
    return app


def _add_routes(app: FastAPI, environment: Environment, sessions: Sessions) -> None:
    @app.get(OPEN_PATH)
    async def health() -> dict[str, str]:
        """Answer that the server runs. Needs no token."""
        return {"status": "ok"}

    @app.get(f"{ROOT}/environment")
    async def world() -> Response:
        """Return the environment's name, instructions, tools and limits."""
        return _json(
            World(
                environment=environment.component_name(),
                instructions=environment.instructions,
                tools=tuple(environment.tools),
                longest_episode=environment.longest_episode,
                max_sessions=min(sessions.maximum, sessions.limits.per_client or sessions.maximum),
            )
        )

    @app.get(f"{ROOT}/tasks")
    async def tasks(split: str = "train", offset: int = 0, limit: int = LARGEST_PAGE) -> Response:
        """Return a page of a split's tasks: at most `limit` of them, from `offset` on."""
        found = list((await sessions.tasks(split)).values())
        first = max(0, offset)
        return _json(TaskPage(tasks=tuple(found[first : first + min(max(0, limit), LARGEST_PAGE)]), total=len(found)))

    @app.post(f"{ROOT}/sessions")
    async def open(body: OpenRequest, request: Request) -> Response:
        """Open a session, and replay actions in it."""
        id, session = await sessions.open(_client(request), body.split, body.task, body.actions)
        return _json(_opened(id, session, fingerprints(session)))

    @app.post(ROOT + "/sessions/{id}/step")
    async def step(id: str, body: StepRequest, request: Request) -> Response:
        """Take an action. A request that is repeated, with the same `at`, gets the same answer."""
        result, session = await sessions.step(_client(request), id, body.at, body.action)
        return _json(Stepped(step=result, reward=session.reward, done=session.done))

    @app.post(ROOT + "/sessions/{id}/fork")
    async def fork(id: str, request: Request) -> Response:
        """Duplicate a session in its current state."""
        return _json(_opened(*await sessions.fork(_client(request), id)))

    @app.delete(ROOT + "/sessions/{id}")
    async def close(id: str, request: Request) -> Response:
        """Close a session."""
        await sessions.close(_client(request), id)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _add_errors(app: FastAPI, limit: int) -> None:
    @app.exception_handler(EefError)
    @app.exception_handler(TimeoutError)
    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        """Answer with the code, message and fix of an error."""
        return _problem(*problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        """Answer which field of a request is invalid."""
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, malformed(error.errors()))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        """Answer that a request is too large, malformed, or for an unknown address."""
        if request.scope.get(TOO_LARGE):
            return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(limit))
        code = "malformed-request" if error.status_code == HTTPStatus.BAD_REQUEST else "unknown-address"
        return _problem(error.status_code, Problem(code=code, message=str(error.detail)))


async def _close_idle(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(min(5.0, sessions.limits.idle_s / 2))
        await sessions.close_idle()


def _opened(id: str, session: Session, observations: tuple[str, ...] = ()) -> Opened:
    return Opened(
        session=id,
        observation=session.observation,
        observations=observations,
        reward=session.reward,
        done=session.done,
        steps=len(session.steps),
    )


def _client(request: Request) -> str:
    return str(request.scope["eef_client"])


def _json(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), media_type="application/json")


def _problem(status: int, problem: Problem) -> Response:
    headers = {"Retry-After": "1"} if status == HTTPStatus.TOO_MANY_REQUESTS else {}
    return Response(problem.model_dump_json(), int(status), headers, media_type="application/json")
