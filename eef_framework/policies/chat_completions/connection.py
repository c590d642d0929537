"""HTTP client for one event loop, with retries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from eef_framework.chat.template_calls import server_messages
from eef_framework.errors import AnswerFailure, EefError
from eef_framework.policies.chat_completions.answer import (
    Completion,
    UnreadableAnswer,
    read_completion,
    read_echo,
)
from eef_framework.policies.chat_completions.context_length import is_too_long
from eef_framework.policies.chat_completions.error_response import ErrorResponse, RequestRejected, read_error_response
from eef_framework.policies.chat_completions.failures import (
    AnswerTimeout,
    ContextExceeded,
    FieldRejected,
    RejectedWithoutReason,
    failure_of,
    is_transient,
)
from eef_framework.policies.chat_completions.meter import Meter, MeteredRequest
from eef_framework.policies.chat_completions.rejections import is_filtered, out_of_credit, rejected_field
from eef_framework.policies.chat_completions.request_log import RequestLog
from eef_framework.policies.chat_completions.settings import ServerSettings
from eef_framework.policies.chat_completions.transport import client_arguments
from eef_framework.records import Conversation

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"
"""Set explicitly, so that no environment variable sends a run to a server other than the recorded one."""

FIRST_WAIT_S = 0.5
"""Minimum wait before a retry; the maximum doubles with each retry, and the wait is random in between."""
CONNECT_S = 30.0
"""Timeout for connecting."""
LIST_S = 10.0
"""Timeout for a list of models that is only used in an error message."""


class Connection:
    """A connection to a server from one event loop.

    Args:
        settings: the server's.
        meter: limits and records the requests.
        before: the connection from another event loop; what it learned about the server is shared.

    Attributes:
        loop: the event loop it belongs to.
        answered: whether the server has answered anything yet.
        base_url: the server's address.

    Raises:
        ConfigError: the server needs a key and none is set, or something else needed to reach it is missing.
    """

    def __init__(self, settings: ServerSettings, meter: Meter, before: Connection | None = None) -> None:
        settings.preflight()
        import openai

        self.settings = settings
        self._meter = meter
        self.loop = asyncio.get_running_loop()
        self.answered: bool = before is not None and before.answered
        self._slots = asyncio.Semaphore(settings.requests)
        self.base_url: str = before.base_url if before else settings.base_url or OPENAI
        self._client = openai.AsyncOpenAI(
            api_key=settings.key(),
            base_url=self.base_url,
            timeout=openai.Timeout(settings.timeout_s, connect=min(settings.timeout_s, CONNECT_S)),
            max_retries=0,
            # The default HTTP client would close in whichever event loop runs when it is garbage-collected.
            http_client=openai.DefaultAsyncHttpxClient(**client_arguments(self.base_url)),
        )
        # Many servers are at /v1; some that are not are given by an address without a path.
        bare = not urlsplit(self.base_url).path.strip("/")
        self._below_v1 = self._client.with_options(base_url=f"{self.base_url}/v1") if bare else None

    async def ask(
        self,
        conversation: Conversation,
        fields: dict[str, Any],
        seed: int,
        log: RequestLog,
        known_as_too_long: Callable[[ErrorResponse], bool],
    ) -> Completion:
        """Return the answer to a conversation: one that was received before, otherwise a new one.

        Args:
            conversation: the conversation.
            fields: the rest of the request's body.
            seed: distinguishes attempts, also if the server takes no seed.
            log: records the requests.
            known_as_too_long: whether the wording of a rejection is known to mean that the conversation is too long.

        Raises:
            ContextExceeded: the conversation is longer than the model's context.
            FieldRejected: the server doesn't take a field of the request.
            RejectedWithoutReason: the request is rejected, perhaps for its length.
            AnswerFailure: this answer is lost.
            PolicyFailure: no request will be answered.
        """
        request = self._meter.request(conversation, fields, seed)
        known, lost = self._meter.earlier(request)
        log.earlier_lost += lost
        log.earlier += len(lost) + (known is not None)
        if known is not None:
            return known
        messages = server_messages(conversation)

        async def once(client: Any) -> Completion:
            create = client.chat.completions.with_raw_response.create
            response = await create(model=self.settings.model, messages=messages, extra_body=fields)
            with _redirections(response.http_response):
                return read_completion(response.content)

        return await self._answer(once, fields, log, known_as_too_long, request)

    async def echo(self, ids: Sequence[int], fields: dict[str, Any], log: RequestLog) -> list[float | None]:
        """Request the log-probabilities of tokens as a prompt.

        Args:
            ids: the tokens.
            fields: the rest of the request's body.
            log: records the requests.

        Returns:
            The log-probability of each token; None for the first. Further ones are those of generated tokens.

        Raises:
            ContextExceeded, FieldRejected, RejectedWithoutReason, AnswerFailure, PolicyFailure: as for `ask`.
        """

        async def once(client: Any) -> list[float | None]:
            create = client.completions.with_raw_response.create
            response = await create(model=self.settings.model, prompt=list(ids), extra_body=fields)
            with _redirections(response.http_response):
                return read_echo(response.content)

        return await self._answer(once, fields, log, lambda response: False)

    async def _answer(
        self,
        once: Callable[[Any], Awaitable[T]],
        fields: Mapping[str, Any],
        log: RequestLog,
        known_as_too_long: Callable[[ErrorResponse], bool],
        request: MeteredRequest | None = None,
    ) -> T:
        """Return what a request returns, with retries; explain why it failed."""
        try:
            found = await self._repeated(once, log, request)
        except EefError:
            raise
        except Exception as error:
            raise await self._explained(
                error, fields, log, known_as_too_long
            ) from None  # others' errors may hold the key
        self.answered = True
        return found

    async def is_vllm(self) -> bool:
        """Return whether the server is vLLM, according to its list of models; false for a server without a list.

        Raises:
            PolicyFailure: it can't be reached, or doesn't know the key.
        """

        async def once(client: Any) -> bytes:
            try:
                return bytes((await client.models.with_raw_response.list()).content)
            except Exception as error:
                status = getattr(error, "status_code", None)
                # Not every server has a list; that of `transformers serve` fails on an empty cache.
                if status is None or status in (401, 403, 404, 405, 429, 503):
                    raise
                return b""

        log = RequestLog()
        try:
            listed = await self._repeated(once, log)
        except Exception as error:
            failure = failure_of(error, self.settings, log.requests, self.answered, {})
            # A list that fails, or isn't there, says nothing about answers.
            if isinstance(failure, AnswerFailure) or failure.code in ("no-such-address", "redirected"):
                return False
            raise failure from None
        return any(model.get("owned_by") == "vllm" for model in _models(listed))

    async def _explained(
        self,
        error: Exception,
        fields: Mapping[str, Any],
        log: RequestLog,
        known_as_too_long: Callable[[ErrorResponse], bool],
    ) -> Exception:
        """Return the exception for a request that failed for good."""
        rejection = error.rejection if isinstance(error, RequestRejected) else None
        looked = rejection is not None and rejection.status in (400, 404)
        models = await self._model_names() if looked and not self.answered else ()
        failure = failure_of(error, self.settings, log.requests, self.answered, fields, models)
        if rejection is None or rejection.moved_to or is_filtered(rejection) or out_of_credit(rejection):
            return failure
        if known_as_too_long(rejection) or is_too_long(rejection):
            long = AnswerFailure(
                f"the conversation is longer than the context of {self.settings.model!r} at {self.settings.endpoint}: "
                f"{rejection.reason}",
                "Lower format.history or max_tokens, or serve the model with a longer context.",
                code="too-long",
                model=self.settings.model,
                base_url=self.settings.endpoint,
                status=rejection.status,
                reason=rejection.reason,
            )
            return ContextExceeded(long, rejection)
        named = rejected_field(rejection, fields)
        if named:
            return FieldRejected(failure, rejection, named)
        if failure.code == "request-refused":
            return RejectedWithoutReason(failure, rejection)
        return failure

    async def _model_names(self) -> tuple[str, ...]:
        """Return the names in the server's list of models; empty if it has no such list."""
        try:
            async with asyncio.timeout(min(LIST_S, self.settings.timeout_s)):
                listed = (await self._client.models.with_raw_response.list()).content
        except Exception:  # any failure only makes a message less helpful
            return ()
        return tuple(str(model["id"]) for model in _models(listed) if model.get("id"))

    async def _repeated(
        self, once: Callable[[Any], Awaitable[T]], log: RequestLog, request: MeteredRequest | None = None
    ) -> T:
        """Return what a request returns, with retries after transient failures."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.settings.retries + 1),
            wait=self._wait,
            retry=retry_if_exception(partial(is_transient, answered=self.answered)),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                async with self._slots:
                    if request is not None:
                        await self._meter.start(request)
                    log.requests += 1
                    try:
                        found = await self._in_time(once)
                    except BaseException as error:
                        log.add_lost(error)
                        if request is not None:
                            self._meter.lost(request, error)
                        raise
                    if request is not None and isinstance(found, Completion):
                        self._meter.received(request, found)
        return found

    async def _in_time(self, once: Callable[[Any], Awaitable[T]]) -> T:
        """Return what a request returns, within the timeout. An address without a path may lack /v1."""
        try:
            # A client's own time begins again with every byte.
            async with asyncio.timeout(self.settings.timeout_s):
                try:
                    return await _read(once, self._client)
                except RequestRejected as error:
                    if self._below_v1 is None or self.answered or not _nothing_there(error.rejection):
                        raise
                    try:
                        found = await _read(once, self._below_v1)
                    except RequestRejected as other:
                        raise (error if _nothing_there(other.rejection) else other) from None
                    self._client, self._below_v1 = self._below_v1, None
                    self.base_url = f"{self.base_url}/v1"
                    return found
        except TimeoutError:
            raise AnswerTimeout from None

    def _wait(self, state: RetryCallState) -> float:
        """Return how long to wait before a retry: as long as the server requests, otherwise longer each time."""
        from tenacity import wait_random_exponential

        error = state.outcome.exception() if state.outcome else None
        asked_for = error.rejection.retry_after_s if isinstance(error, RequestRejected) else None
        usual = wait_random_exponential(multiplier=FIRST_WAIT_S, min=FIRST_WAIT_S)(state)
        return min(usual if asked_for is None else asked_for, self.settings.longest_wait_s)


async def _read(once: Callable[[Any], Awaitable[T]], client: Any) -> T:
    """Send a request, and parse an error response."""
    import openai

    try:
        return await once(client)
    except openai.APIStatusError as error:
        response = error.response
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise RequestRejected(
            read_error_response(response.status_code, response.text, headers, _moved_to(response))
        ) from error


@contextmanager
def _redirections(response: Any) -> Iterator[None]:
    """Explain an unreadable answer by a redirection to something that isn't the API."""
    try:
        yield
    except UnreadableAnswer as error:
        if moved := _moved_to(response):
            raise RequestRejected(ErrorResponse(response.status_code, str(error), moved_to=moved)) from error
        raise


def _moved_to(response: Any) -> str:
    """Return the address that a redirection led to, where a request doesn't arrive there as it was sent."""
    # 301 to 303 make a GET of a POST; any to another host leaves off the key.
    lossy = any(each.status_code in (301, 302, 303) for each in response.history)
    if lossy or (response.history and response.status_code in (401, 403)):
        return str(response.url)
    return str(response.headers.get("location") or "") if 300 <= response.status_code < 400 else ""


def _nothing_there(rejection: ErrorResponse) -> bool:
    about = f"{rejection.code} {rejection.kind} {rejection.text[:200]}"
    return rejection.status in (404, 405) and "model" not in about.lower()


def _models(listed: bytes) -> list[dict[str, Any]]:
    try:
        document = json.loads(listed or b"{}")
        models = document if isinstance(document, list) else document.get("data")
        return [model for model in models or () if isinstance(model, dict)]
    except (ValueError, AttributeError, TypeError):  # it isn't a list of models
        return []
