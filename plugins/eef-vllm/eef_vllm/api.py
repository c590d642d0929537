"""What this policy uses of a vLLM server's HTTP interface."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import httpx
from pydantic import BaseModel, Field, ValidationError

from eef_framework.errors import ConfigError, EefError, PolicyFailure
from eef_framework.policies.chat_completions import client_arguments

CONNECT_S = 10.0
"""Timeout for connecting, in seconds."""
BUSY_WAITS_S = (0.1, 0.3, 1.0, 3.0, 5.0)
"""Waits before a request is sent again to a busy server, in seconds."""
SCORED_AT_ONCE = 8
"""Number of concurrent requests for log-probabilities of known tokens."""
MODEL_SAMPLING = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Settings that sample from the model's own distribution. Without them, a server may take others from the model."""


class ServerUnavailable(Exception):
    """The server can't answer now: it isn't there, hangs, fails, or has lost the adapter. It may be able to later."""


class ServerBusy(ServerUnavailable):
    """The server is there, and asks to send the request again later."""


class RequestFailed(ServerUnavailable):
    """The server failed at this request. Whether it still answers others isn't known."""


class Rejected(Exception):
    """The server rejects a request.

    Args:
        status: the HTTP status.
        reason: what the server says.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


class ServedModel(BaseModel):
    """An entry in a server's list of models."""

    id: str
    parent: str | None = None
    """The base model's name, for an adapter."""
    root: str | None = None
    max_model_len: int | None = None


class Completion(NamedTuple):
    """A sampled answer."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class _Logprobs(BaseModel):
    token_logprobs: list[float]


class _Choice(BaseModel):
    token_ids: list[int] | None = None
    logprobs: _Logprobs | None = None


class _Document(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class VllmApi:
    """A server. Functions without `async` block, and may be called from any thread.

    Args:
        url: its address, without `/v1`.
        key: its API key; empty for none.
        timeout_s: time limit for an answer, in seconds.
    """

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self.url = url
        self._arguments = client_arguments(url) | {
            "base_url": url,
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S), pool=None),
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=64),
        }
        self._timeout_s = timeout_s
        self._client = httpx.Client(**self._arguments)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    def models(self) -> list[ServedModel]:
        """Return the list of models.

        Raises:
            ServerUnavailable: the server can't answer.
            Rejected: it refuses the key, or isn't vLLM.
        """
        try:
            found = self._send("GET", "/v1/models").json()
            return [ServedModel.model_validate(each) for each in found["data"]]
        except (ValueError, LookupError, TypeError) as cause:
            raise Rejected(200, f"unreadable list of models: {cause}") from cause

    def version(self) -> str:
        """Return the version of vLLM; empty if the server doesn't tell it."""
        try:
            return str(self._send("GET", "/version").json()["version"])
        except (ServerUnavailable, Rejected, ValueError, LookupError, TypeError):
            return ""

    def load_adapter(self, name: str, folder: str) -> None:
        """Load an adapter under a name. Does nothing if the name is loaded already.

        Raises:
            ServerUnavailable: the server can't answer.
            Rejected: it can't load the adapter.
        """
        try:
            self._send("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})
        except Rejected as rejected:
            if "already been loaded" not in rejected.reason and "already loaded" not in rejected.reason:
                raise

    def unload_adapter(self, name: str) -> None:
        """Unload an adapter.

        Raises:
            ServerUnavailable: the server can't answer.
            Rejected: it has no such adapter.
        """
        self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def score(self, model: str, prefixes: Sequence[Sequence[int]], tokens: Sequence[int]) -> list[float]:
        """Return the log-probability of a token after each of several prefixes.

        Raises:
            ServerUnavailable: the server can't answer.
            Rejected: it refuses a request.
            PolicyFailure: it returns no token ids.
        """

        def one(prefix: Sequence[int], token: int) -> float:
            response = self._send("POST", "/v1/completions", _scoring_request(model, prefix, token))
            return _completion(response).logprobs[0]

        with ThreadPoolExecutor(SCORED_AT_ONCE) as threads:
            return list(threads.map(one, prefixes, tokens))

    async def complete(self, body: dict[str, Any]) -> Completion:
        """Return the answer to one prompt.

        Raises:
            ServerUnavailable: the server can't answer.
            Rejected: it refuses the request.
            PolicyFailure: it returns no token ids.
        """
        return _completion(await self._post(body))

    async def score_one(self, model: str, prefix: Sequence[int], token: int) -> float:
        """Return the log-probability of a token after a prefix.

        Raises:
            ServerUnavailable, Rejected, PolicyFailure: as for `complete`.
        """
        return _completion(await self._post(_scoring_request(model, prefix, token))).logprobs[0]

    def close(self) -> None:
        """Close the connections of the blocking functions."""
        self._client.close()
        self._clients.clear()

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        for wait_s in (*BUSY_WAITS_S, None):
            try:
                return _checked(self._client.request(method, path, json=body))
            except (httpx.TransportError, httpx.InvalidURL) as cause:
                raise ServerUnavailable(f"{type(cause).__name__}: {cause}") from cause
            except ServerBusy:
                if wait_s is None:
                    raise
                time.sleep(wait_s)
        raise AssertionError

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = httpx.AsyncClient(**self._arguments)
        try:
            # The client's own time limit starts again with every byte.
            async with asyncio.timeout(self._timeout_s):
                return _checked(await client.post("/v1/completions", json=body))
        except TimeoutError as cause:
            raise ServerUnavailable(f"no answer within {self._timeout_s:g} s") from cause
        except (httpx.TransportError, RuntimeError) as cause:  # RuntimeError: the client was closed
            raise ServerUnavailable(f"{type(cause).__name__}: {cause}") from cause


def completion_request(
    model: str, prompt: Sequence[int], max_tokens: int, temperature: float, seed: int, **more: Any
) -> dict[str, Any]:
    """Return the body of a request for a sampled answer."""
    return {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "logprobs": 0,
        "return_token_ids": True,
        **MODEL_SAMPLING,
        **more,
    }


def _scoring_request(model: str, prefix: Sequence[int], token: int) -> dict[str, Any]:
    """Return the body of a request that can only be answered with one token.

    Log-probabilities are those before this restriction. `prompt_logprobs` would need one request for a whole answer,
    but ends the engine of vLLM 0.32 on a CPU if adapters are enabled, and always bypasses the prefix cache.
    """
    return completion_request(model, prefix, 1, 0.0, 0, allowed_token_ids=[token])


def _checked(response: httpx.Response) -> httpx.Response:
    if response.status_code == 200:
        return response
    reason = _reason(response)
    # 404 for a model: the server was restarted, and has lost its adapters.
    lost_adapter = response.status_code == 404 and response.request.url.path == "/v1/completions"
    if response.status_code in (429, 503):
        raise ServerBusy(f"{response.status_code}: {reason}")
    if response.status_code == 500:
        raise RequestFailed(f"{response.status_code}: {reason}")
    if response.status_code > 500 or response.status_code == 408 or lost_adapter:
        raise ServerUnavailable(f"{response.status_code}: {reason}")
    raise Rejected(response.status_code, reason)


def _reason(response: httpx.Response) -> str:
    try:
        document = response.json()
        return str(document.get("error", document).get("message") or document)[:500]
    except (ValueError, AttributeError):
        return response.text[:500]


def _completion(response: httpx.Response) -> Completion:
    try:
        choice = _Document.model_validate_json(response.content).choices[0]
    except ValidationError as cause:
        raise ServerUnavailable(f"unreadable answer: {response.text[:200]!r}") from cause
    if not choice.token_ids or choice.logprobs is None:
        raise PolicyFailure(
            "the server returns no token ids, or no log-probabilities",
            "Use vLLM 0.11 or newer.",
            code="no-token-ids",
        )
    if len(choice.token_ids) != len(choice.logprobs.token_logprobs):
        raise ServerUnavailable("the answer doesn't have a log-probability for each token")
    return Completion(tuple(choice.token_ids), tuple(choice.logprobs.token_logprobs))


def explained(rejected: Rejected, url: str) -> EefError:
    """Return the error for a request that a server rejects."""
    if rejected.status in (401, 403):
        return ConfigError(
            f"the server at {url} refuses the key ({rejected})",
            "Put its key into an environment variable, and the variable's name into api_key_env.",
            code="no-access",
            base_url=url,
        )
    return PolicyFailure(
        f"the server at {url} refused a request ({rejected})",
        "Check that it is a vLLM server that serves this model.",
        code="request-refused",
        base_url=url,
        status=rejected.status,
        reason=rejected.reason,
    )
