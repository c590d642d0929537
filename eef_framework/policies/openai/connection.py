"""A client for one event loop: requests, repeated where that may help."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from eef_framework.errors import AnswerFailure
from eef_framework.policies.openai.answer import Completion, read_completion
from eef_framework.policies.openai.failures import TooLong, failure_of, is_too_long, may_pass, wait_asked_for
from eef_framework.policies.openai.settings import ServerSettings

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"
"""Spelt out, so that no environment variable sends a run elsewhere than its record says."""

FIRST_WAIT_S = 0.5
"""Shortest wait before a repetition; the longest doubles from there, and chance decides between them."""


class Connection:
    """The way to a server from one event loop.

    Args:
        settings: the server's.

    Attributes:
        loop: the event loop it belongs to.
        answered: whether the server has answered anything yet.

    Raises:
        ConfigError: there is no key, and the server needs one.
    """

    def __init__(self, settings: ServerSettings) -> None:
        import openai

        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.answered = False
        self._slots = asyncio.Semaphore(settings.requests)
        self._client = openai.AsyncOpenAI(
            api_key=settings.key(),
            base_url=settings.base_url or OPENAI,
            timeout=settings.timeout_s,
            max_retries=0,
            # The one it makes by itself closes itself in whichever event loop runs when it is collected.
            http_client=openai.DefaultAsyncHttpxClient(),
        )

    async def ask(self, messages: list[dict[str, str]], fields: dict[str, Any]) -> tuple[Completion, int]:
        """Have a conversation answered.

        Args:
            messages: the conversation, in the API's form.
            fields: the rest of the request's body.

        Returns:
            The answer, and how many requests it took.

        Raises:
            TooLong: the conversation is longer than the model's context.
            AnswerFailure: this answer is lost.
            PolicyFailure: no request will be answered.
        """
        create: Any = self._client.chat.completions.with_raw_response.create

        async def once() -> Completion:
            response = await create(model=self.settings.model, messages=messages, extra_body=fields)
            return read_completion(response.content)

        found = await self._repeated(once)
        self.answered = True
        return found

    async def is_vllm(self) -> bool:
        """Tell by the server's list of models whether it is vLLM. A server without a list is none.

        Raises:
            PolicyFailure: it can't be reached, or doesn't know the key.
        """
        from openai import APIStatusError

        async def once() -> bytes:
            try:
                return bytes((await self._client.models.with_raw_response.list()).content)
            except APIStatusError as error:
                if error.status_code in (401, 403, 429, 503):
                    raise
                return b""  # not every server has a list; that of `transformers serve` fails on an empty cache

        try:
            listed, _ = await self._repeated(once)
        except AnswerFailure:  # a list that fails says nothing about answers
            return False
        return _mentions_vllm(listed)

    async def _repeated(self, once: Callable[[], Awaitable[T]]) -> tuple[T, int]:
        """Return what a request returns, and the number of attempts it took."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        attempts = 0
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.settings.retries + 1),
            wait=self._wait,
            retry=retry_if_exception(may_pass),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                attempts += 1
                with attempt:
                    async with self._slots:
                        found = await once()
            return found, attempts
        except Exception as error:
            if is_too_long(error):
                raise TooLong(str(error)) from error
            raise failure_of(error, self.settings, attempts, self.answered) from error

    def _wait(self, state: RetryCallState) -> float:
        """Return how long to wait: as long as the server asks for, else longer each time."""
        from tenacity import wait_random_exponential

        asked_for = wait_asked_for(state.outcome.exception() if state.outcome else None)
        usual = wait_random_exponential(multiplier=FIRST_WAIT_S, min=FIRST_WAIT_S)(state)
        return min(usual if asked_for is None else asked_for, self.settings.longest_wait_s)


def _mentions_vllm(listed: bytes) -> bool:
    try:
        models = json.loads(listed or b"{}").get("data")
        return any(model.get("owned_by") == "vllm" for model in models or ())
    except (ValueError, AttributeError, TypeError):  # whatever it is, it isn't vLLM's
        return False
