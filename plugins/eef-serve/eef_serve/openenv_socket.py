"""OpenEnv's protocol: a client plays episodes over one WebSocket, with the messages reset, step, state and close."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from eef_framework.interfaces import Session
from eef_serve.problems import malformed, problem_of
from eef_serve.sessions import Refusal, Sessions
from eef_serve.wire import LONGEST_EPISODE, Action, Problem, Request

PATH = "/ws"
"""OpenEnv's clients append this to the address that they are given."""

MALFORMED = {
    "json_invalid": "INVALID_JSON",
    "union_tag_invalid": "UNKNOWN_TYPE",
    "union_tag_not_found": "UNKNOWN_TYPE",
}
"""OpenEnv's codes for kinds of pydantic's errors; all others are VALIDATION_ERROR."""


class Reset(Request):
    """What to play."""

    seed: int | None = Field(default=None, ge=0)
    """Selects a task, if none is named; the same seed always selects the same one. Default: any."""
    episode_id: Annotated[str, StringConstraints(max_length=255)] | None = None
    """Repeated in the state. Default: the session's id."""
    split: Annotated[str, StringConstraints(max_length=100)] = "train"
    task: Annotated[str, StringConstraints(max_length=1000)] | None = None
    """The task's id."""
    actions: list[Action] = Field(default_factory=list, max_length=LONGEST_EPISODE)
    """Actions to carry out first."""


class Act(Request):
    """What to do."""

    action: Action
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Ignored; OpenEnv's actions have it."""


class ResetMessage(Request):
    """Start an episode. The one before is given up."""

    type: Literal["reset"]
    data: Reset = Reset()


class StepMessage(Request):
    """Carry out an action."""

    type: Literal["step"]
    data: Act


class StateMessage(Request):
    """Describe the episode."""

    type: Literal["state"]


class CloseMessage(Request):
    """End the connection."""

    type: Literal["close"]


MESSAGE: TypeAdapter[ResetMessage | StepMessage | StateMessage | CloseMessage] = TypeAdapter(
    Annotated[ResetMessage | StepMessage | StateMessage | CloseMessage, Field(discriminator="type")]
)


def add_openenv(app: FastAPI, sessions: Sessions) -> None:
    """Add the address that OpenEnv's clients connect to."""

    @app.websocket(PATH)
    async def play(socket: WebSocket) -> None:
        """Answer messages until the client closes the connection or disappears."""
        await socket.accept()
        player = _Player(sessions, str(socket.scope["eef_client"]))
        try:
            with suppress(WebSocketDisconnect):
                while (message := await socket.receive())["type"] == "websocket.receive":
                    answer = await player.answer(message.get("text") or message.get("bytes") or "")
                    if answer is None:
                        await socket.close()
                        break
                    await socket.send_text(answer)
        finally:
            await player.close()


class _Player:
    """A connection's client, and its episode."""

    def __init__(self, sessions: Sessions, client: str) -> None:
        self.sessions, self.client = sessions, client
        self.id = ""  # of its session; empty before the first reset
        self.episode_id: str | None = None

    async def answer(self, text: str | bytes) -> str | None:
        """Return the answer to a message, as JSON; None to `close`."""
        try:
            message = MESSAGE.validate_json(text)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False, include_input=False)
            return _json(_error(MALFORMED.get(errors[0]["type"], "VALIDATION_ERROR"), malformed(errors)))
        try:
            match message:
                case ResetMessage():
                    return _json(await self._reset(message.data))
                case StepMessage():
                    return _json(await self._step(message.data.action))
                case StateMessage():
                    return _json({"type": "state", "data": self._state()})
                case CloseMessage():
                    return None
        except Exception as error:
            status, problem = problem_of(error)
            full = status == HTTPStatus.TOO_MANY_REQUESTS
            return _json(_error("CAPACITY_REACHED" if full else "EXECUTION_ERROR", problem))

    async def close(self) -> None:
        """Close the session, unless a request over HTTP is using it: then it is closed once it is idle."""
        if self.id:
            with suppress(Refusal):
                await self.sessions.close(self.client, self.id)
            self.id = ""

    async def _reset(self, wanted: Reset) -> dict[str, Any]:
        task = wanted.task
        if task is None:
            tasks = list(await self.sessions.tasks(wanted.split))
            if not tasks:
                raise Refusal(HTTPStatus.NOT_FOUND, "unknown-task", f"the split {wanted.split!r} has no task")
            task = random.choice(tasks) if wanted.seed is None else tasks[wanted.seed % len(tasks)]
        await self.close()
        self.id, session = await self.sessions.open(self.client, wanted.split, task, wanted.actions)
        self.episode_id = wanted.episode_id or self.id
        return _observation(session, session.reward if session.steps else None)

    async def _step(self, action: str) -> dict[str, Any]:
        at = len(self._session().steps)
        step, session = await self.sessions.step(self.client, self.id, at, action)
        return _observation(session, step.reward)

    def _state(self) -> dict[str, Any]:
        instructions = self.sessions.environment.instructions
        if not self.id:
            return {"episode_id": None, "step_count": 0, "instructions": instructions}
        session = self._session()
        return {
            "episode_id": self.episode_id,
            "step_count": len(session.steps),
            "instructions": instructions,
            "session": self.id,
            "split": session.task.split,
            "task": session.task.id,
            "reward": session.reward,
            "done": session.done,
        }

    def _session(self) -> Session:
        if not self.id:
            message = "there is no episode yet"
            raise Refusal(HTTPStatus.CONFLICT, "no-episode", message, "Send the message `reset` first.")
        return self.sessions.get(self.client, self.id)


def _observation(session: Session, reward: float | None) -> dict[str, Any]:
    shown = session.observation.model_dump(mode="json")
    return {"type": "observation", "data": {"observation": shown, "reward": reward, "done": session.done}}


def _json(answer: dict[str, Any]) -> str:
    """Return an answer as JSON.

    Raises:
        ValueError: the environment's text isn't valid Unicode, or its reward isn't finite.
    """
    text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


def _error(code: str, problem: Problem) -> dict[str, Any]:
    """Return an error with OpenEnv's code; `reason` is ours."""
    message = f"{problem.message}. {problem.fix}" if problem.fix else problem.message
    return {"type": "error", "data": {"code": code, "message": message, "reason": problem.code}}
