"""A local chat completions server with configurable faults, to test policies against."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from eef_framework.records import fingerprint
from eef_framework.testing.corridor import best_action

Fault = Literal[
    "",
    "hang-up",  # the connection is closed without a response
    "empty",  # a response without a body
    "die",  # the connection is closed within the response
    "quit",  # the same, and the server stops listening
    "slow",  # the response comes after `slow_s`
    "drip",  # newlines keep the connection alive until then
    "comments",  # comments of an event stream keep it alive
    "zipped",  # the response is compressed
    "badly-zipped",  # the compressed response is truncated
    "http/1.0",  # HTTP/1.0 without a content length
    "garbage",  # a truncated JSON document
    "html",  # an HTML page
    "shape",  # valid JSON with another schema
    "no-choices",
    "no-text",
    "filtered",
    "negative-usage",
    "absurd-usage",
    "text-usage",
    "no-usage",
    "429",
    "quota",
    "500",
    "400",
]
"""What goes wrong with a request."""


@dataclass(frozen=True)
class Reply:
    """A literal HTTP response instead of an answer."""

    status: int
    document: Any
    """The body: bytes, or data to encode as JSON."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A received request."""

    number: int
    """Its number, counted from 0."""
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    """Names are in lower case."""

    @property
    def last_message(self) -> str:
        """Content of the last message."""
        return str(self.body["messages"][-1]["content"])


Answer = Callable[[Request], str]
FaultOf = Callable[[Request], Fault | Reply]


def corridor_answer(request: Request) -> str:
    """Answer with the right action in the corridor."""
    return f"Thought: The way is clear.\nAction: {best_action(request.last_message)}"


class ChatServer:
    """The server. Use it as a context manager.

    Args:
        answer: returns the answer to a request.
        fault: returns the fault of a request; none by default.
        key: the required API key; empty for none.
        vllm: whether it supports vLLM's extensions: token ids, structured outputs.
        context: maximum length of a conversation with its answer, in words, which count as tokens; None for no limit.
        echo: returns the log-probabilities of a prompt's tokens, as vLLM does; None if the server can't.

    Attributes:
        requests: all completion requests, in order.
        most_at_once: maximum number of concurrent requests.
        retry_after_s: value of `retry-after` in responses with status 429.
        slow_s: delay of the fault `slow`, in seconds.
        list_fails: whether listing the models is an error.
        prefix: prefix of the valid paths.
    """

    def __init__(
        self,
        answer: Answer = corridor_answer,
        fault: FaultOf = lambda request: "",
        *,
        key: str = "",
        vllm: bool = False,
        context: int | None = None,
        echo: Callable[[list[int]], list[float | None]] | None = None,
    ) -> None:
        self.echo = echo
        self.answer, self.fault, self.key, self.vllm, self.context = answer, fault, key, vllm, context
        self.requests: list[Request] = []
        self.most_at_once = 0
        self.retry_after_s = 0.02
        self.slow_s = 0.5
        self.list_fails = False
        self.prefix = "/v1"
        self._at_once = 0
        self._lock = threading.Lock()
        self._port = 0
        self._http: _Http | None = None

    @property
    def url(self) -> str:
        """Its `base_url`."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> Self:
        """Start listening. After a stop, it uses the same port again."""
        self._http = _Http(("127.0.0.1", self._port), self)
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening. Open connections get no further response."""
        http, self._http = self._http, None
        if http is not None:
            http.gone = True
            http.shutdown()
            http.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def received(self, body: dict[str, Any], headers: dict[str, str]) -> Request:
        """Record a request."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.requests.append(Request(len(self.requests), body, headers))
            return self.requests[-1]

    def answered(self) -> None:
        """Record that a request has ended."""
        with self._lock:
            self._at_once -= 1

    def completion(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Return status and body for a request without a fault."""
        if "messages" not in request.body:
            return self._echoed(request.body)
        prompt = sum(len(message["content"].split()) for message in request.body["messages"])
        limit = int(request.body.get("max_tokens") or request.body.get("max_completion_tokens") or 16)
        if self.context is not None and prompt + limit > self.context:
            return 400, _error(f"This model's maximum context length is {self.context} tokens", "BadRequestError")
        text = self._allowed(self.answer(request), request.body)
        words = text.split()
        text = text if len(words) <= limit else " ".join(words[:limit])
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop" if len(words) <= limit else "length",
        }
        completed = min(len(words), limit)
        if request.body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": word, "logprob": -0.5} for word in words[:limit]]}
        if self.vllm and request.body.get("return_token_ids"):
            choice["token_ids"] = [int(fingerprint(word)[:4], 16) for word in words[:limit]]
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completed,
            "total_tokens": prompt + completed,
            "prompt_tokens_details": {"cached_tokens": prompt // 2},
        }
        return 200, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}

    def _echoed(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and body for a request to echo a prompt of token ids."""
        if self.echo is None or not body.get("echo"):
            return 404, _error("Not Found", "NotFoundError")
        logprobs = [*self.echo(body["prompt"]), -0.5]  # and that of the generated token
        choice = {"index": 0, "text": "", "logprobs": {"token_logprobs": logprobs}, "finish_reason": "length"}
        return 200, {"id": "x", "object": "text_completion", "choices": [choice]}

    def _allowed(self, text: str, body: dict[str, Any]) -> str:
        """Return the answer, or the first allowed one if structured outputs exclude it."""
        wanted = body.get("structured_outputs") or {}
        if not self.vllm or not wanted:
            return text
        if "choice" in wanted:
            return text if text in wanted["choice"] else str(wanted["choice"][0])
        return text if re.fullmatch(wanted["regex"], text) else ""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], chat: ChatServer) -> None:
        self.chat = chat
        self.gone = False
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"  # connections stay open

    def do_GET(self) -> None:
        """List the models."""
        if self._refused():
            return
        if self.server.chat.list_fails:
            self._send(500, _error("Cache directory not found", "internal_error"))
            return
        model = {"id": "test", "object": "model", "owned_by": "vllm" if self.server.chat.vllm else "somebody"}
        self._send(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        """Answer a conversation."""
        chat = self.server.chat
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self._refused():
            return
        request = chat.received(body, {name.lower(): value for name, value in self.headers.items()})
        try:
            self._answer(request, chat.fault(request))
        finally:
            chat.answered()

    def _refused(self) -> bool:
        if self.server.gone:
            self.close_connection = True
            return True
        if not self.path.startswith(f"{self.server.chat.prefix}/"):
            self._send(404, b"<html><title>404</title>Not Found</html>", {"content-type": "text/html"})
            return True
        key = self.server.chat.key
        if key and self.headers.get("authorization") != f"Bearer {key}":
            self._send(
                401, _error(f"Incorrect API key provided: {self.headers.get('authorization')}", "invalid_api_key")
            )
            return True
        return False

    def _answer(self, request: Request, fault: Fault | Reply) -> None:
        if isinstance(fault, Reply):
            self._send(fault.status, fault.document, fault.headers)
        elif fault == "hang-up":
            self.close_connection = True
        elif fault in ("die", "quit"):
            self._break_off(listen=fault == "die")
        elif fault in _DOCUMENTS:
            status, data = _DOCUMENTS[fault]
            self._send(status, data, {"retry-after": str(self.server.chat.retry_after_s)} if status == 429 else {})
        else:
            if fault == "slow":
                time.sleep(self.server.chat.slow_s)
            status, document = self.server.chat.completion(request)
            if fault in ("drip", "comments"):
                self._drip(json.dumps(document).encode(), b"\n" if fault == "drip" else b": still thinking\n\n")
            elif fault in ("zipped", "badly-zipped"):
                data = gzip.compress(json.dumps(document).encode())
                self._send(status, data if fault == "zipped" else data[:-12], {"content-encoding": "gzip"})
            elif fault == "http/1.0":
                self.wfile.write(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n")
                self.wfile.write(json.dumps(document).encode())
                self.close_connection = True
            else:
                self._send(status, document | _USAGE.get(fault, {}))

    def _drip(self, data: bytes, filling: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + self.server.chat.slow_s
        while time.monotonic() < end:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(filling), filling))
            time.sleep(0.01)
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    def _break_off(self, listen: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [{"message": {"content": "Thought: I')
        self.wfile.flush()
        self.close_connection = True
        if not listen:
            self.server.gone = True
            self.server.server_close()
            threading.Thread(target=self.server.shutdown, daemon=True).start()

    def _send(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "code": code}}


def _choice(content: Any, finish_reason: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}]}


_DOCUMENTS: dict[str, tuple[int, Any]] = {
    "garbage": (200, b'{"choices": [{"mess'),
    "empty": (200, b""),
    "html": (200, b"<html><body>Welcome</body></html>"),
    "shape": (200, {"choices": {"message": "Action: look"}}),
    "no-choices": (200, {"choices": [], "usage": {"prompt_tokens": 1}}),
    "no-text": (200, _choice(None, "tool_calls")),
    "filtered": (200, _choice(None, "content_filter")),
    "429": (429, _error("Too many requests", "rate_limit_exceeded")),
    "quota": (429, _error("You exceeded your current quota", "insufficient_quota")),
    "500": (500, _error("CUDA error: device-side assert triggered", "internal_error")),
    "400": (400, _error("Unrecognized request argument supplied: temperature", "unknown_parameter")),
}
"""Fault -> status and body."""

_USAGE: dict[str, dict[str, Any]] = {
    "negative-usage": {"usage": {"prompt_tokens": -7, "completion_tokens": 3}},
    "absurd-usage": {"usage": {"prompt_tokens": 10**12, "completion_tokens": 10**12}},
    "text-usage": {"usage": {"prompt_tokens": "many", "completion_tokens": None}},
    "no-usage": {"usage": None},
}
"""Fault -> fields that replace the token counts."""
