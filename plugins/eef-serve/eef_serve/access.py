"""Access control: tokens, and the size of requests. Checked before a request's body is read."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eef_serve.wire import Problem

OPEN_PATH = "/health"
"""The one path that needs no token."""
TOO_LARGE = "eef_too_large"
"""Key of a request's scope: whether more was sent than is allowed."""


class Access:
    """Refuses requests without a known token, and those that are too large.

    Args:
        app: the application.
        tokens: name of a client -> its token.
        body: maximum size of a request, in bytes.
    """

    def __init__(self, app: ASGIApp, tokens: Mapping[str, str], body: int) -> None:
        self.app = app
        self.tokens = {name: token.encode() for name, token in tokens.items()}
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] == OPEN_PATH:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        client = self._client(headers.get(b"authorization", b""))
        if client is None:
            fix = "Send the header `Authorization: Bearer TOKEN`."
            problem = Problem(code="no-access", message="the request has no token that this server knows", fix=fix)
            await _refuse(send, HTTPStatus.UNAUTHORIZED, problem)
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self.body:
            await _refuse(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large())
            return
        scope["eef_client"] = client
        read = 0

        async def limited() -> Message:
            """Receive a part of the body, which need not be as short as its header says."""
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            scope[TOO_LARGE] = read > self.body
            return message if read <= self.body else {"type": "http.disconnect"}

        await self.app(scope, limited, send)

    def _client(self, header: bytes) -> str | None:
        given = header.removeprefix(b"Bearer ") if header.startswith(b"Bearer ") else b""
        found = [name for name, token in self.tokens.items() if hmac.compare_digest(token, given)]
        return found[0] if found else None

    def _too_large(self) -> Problem:
        return Problem(code="too-large", message=f"the request is larger than {self.body} bytes", fix="Send less.")


async def _refuse(send: Send, status: HTTPStatus, problem: Problem) -> None:
    content = problem.model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": content})
