"""Access control: tokens, and the size of requests. Checked before a request's body is read."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eef_serve.wire import Problem

OPEN_PATH = "/health"
"""The one path that needs no token."""
MESSAGE_TOO_BIG = 1009
"""Code that a WebSocket is closed with."""
TOO_LARGE = "eef_too_large"
"""Key of a request's scope: whether more was sent than is allowed."""


class Access:
    """Refuses requests without a known token, and those that are too large.

    Args:
        app: the application.
        tokens: name of a client -> its token.
        body: maximum size of a request, or of a WebSocket's message, in bytes.
    """

    def __init__(self, app: ASGIApp, tokens: Mapping[str, str], body: int) -> None:
        self.app = app
        self.tokens = {name: token.encode() for name, token in tokens.items()}
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or one connection of a WebSocket."""
        socket = scope["type"] == "websocket"
        if not socket and (scope["type"] != "http" or scope["path"] == OPEN_PATH):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        client = self._client(headers.get(b"authorization", b""))
        if client is None:
            fix = "Send the header `Authorization: Bearer TOKEN`."
            problem = Problem(code="no-access", message="the request has no token that this server knows", fix=fix)
            await _refuse(send, HTTPStatus.UNAUTHORIZED, problem, "websocket.http" if socket else "http")
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self.body:
            await _refuse(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(self.body))
            return
        scope["eef_client"] = client
        if socket:
            await self.app(scope, lambda: self._message(receive, send), send)
            return
        read = 0

        async def limited() -> Message:
            """Receive a part of the body, which need not be as short as its header says."""
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            scope[TOO_LARGE] = read > self.body
            return message if read <= self.body else {"type": "http.disconnect"}

        await self.app(scope, limited, send)

    async def _message(self, receive: Receive, send: Send) -> Message:
        """Receive a message of a WebSocket. One that is too large ends the connection."""
        message = await receive()
        content = message.get("bytes") or (message.get("text") or "").encode("utf-8", "surrogatepass")
        if len(content) <= self.body:
            return message
        closing = {"code": MESSAGE_TOO_BIG, "reason": too_large(self.body).message}
        await send({"type": "websocket.close", **closing})
        return {"type": "websocket.disconnect", **closing}

    def _client(self, header: bytes) -> str | None:
        scheme, _, given = header.partition(b" ")
        if scheme == b"Basic":  # what is sent for http://USER:TOKEN@HOST, where a client has no other way
            try:
                given = b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return None
        elif scheme != b"Bearer":
            return None
        found = [name for name, token in self.tokens.items() if hmac.compare_digest(token, given)]
        return found[0] if found else None


def too_large(limit: int) -> Problem:
    """Return what to tell a client that sent more than `limit` bytes."""
    return Problem(code="too-large", message=f"the request is larger than {limit} bytes", fix="Send less.")


async def _refuse(send: Send, status: HTTPStatus, problem: Problem, protocol: str = "http") -> None:
    content = problem.model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers.append((b"connection", b"close"))
    await send({"type": f"{protocol}.response.start", "status": int(status), "headers": headers})
    await send({"type": f"{protocol}.response.body", "body": content})
