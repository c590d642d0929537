"""Meter: applies the rate limits, then the budget, to every request, and records its answer and cost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from eef_framework.errors import PolicyFailure
from eef_framework.policies.chat_completions.answer import Completion, FailedAnswer
from eef_framework.policies.chat_completions.answer_file import AnswerFile, AnswerRow, Earlier, Spent, request_key
from eef_framework.policies.chat_completions.error_response import RequestRejected
from eef_framework.policies.chat_completions.settings import LIMITS, ServerSettings, limit_of
from eef_framework.policies.chat_completions.usage import Usage, prompt_bytes, usage
from eef_framework.records import Conversation
from eef_framework.redaction import redact_known

TOKENS_PER_BYTE = 1 / 3
"""Assumed length of prompts until the server has reported some: more than that of English text."""
USUAL_LIMIT = 4096
"""Assumed length of an answer without a limit, in tokens, before there was a longer one."""


@dataclass
class RateLimit:
    """Spaces requests evenly, so that no more than a given amount is used in a minute.

    Args:
        per_minute: the amount; None for no limit.
    """

    per_minute: int | None
    _free_at: float = field(default=0.0, init=False)

    def take(self, amount: float) -> float:
        """Use an amount, and return how long to wait before it may be used, in seconds."""
        if self.per_minute is None:
            return 0.0
        now = time.monotonic()
        start = max(now, self._free_at)
        self._free_at = start + amount * 60 / self.per_minute
        return start - now

    def correct(self, more: float) -> None:
        """Use a further amount, or give a part of it back."""
        if self.per_minute is not None:
            self._free_at += more * 60 / self.per_minute


@dataclass
class MeteredRequest:
    """A request, with the facts that its cost depends on.

    Attributes:
        key: identifies it in the file of answers.
        conversation: the messages.
        limit: maximum length of the answer, in tokens; None for no limit.
        reserved: estimated cost while it is under way.
    """

    key: str
    conversation: Conversation
    limit: int | None
    reserved: Usage = field(default_factory=lambda: Usage(0, 0, 0))

    @property
    def bytes(self) -> int:
        """Length of the prompt."""
        return prompt_bytes(self.conversation)


class Meter:
    """Limits the requests of a policy, and records them.

    Args:
        settings: the server's.
        file: where answers are kept.
    """

    def __init__(self, settings: ServerSettings, file: AnswerFile) -> None:
        self._settings = settings
        self._file = file
        self._requests = RateLimit(settings.requests_per_minute)
        self._tokens = RateLimit(settings.tokens_per_minute)
        self._prompt_tokens = self._prompt_bytes = 0
        self._longest = USUAL_LIMIT
        self._stopped = False

    def request(self, conversation: Conversation, fields: dict[str, Any], seed: int) -> MeteredRequest:
        """Describe a request.

        Args:
            conversation: the messages.
            fields: the rest of the request's body.
            seed: distinguishes attempts.
        """
        limit = limit_of(fields)
        others = {name: value for name, value in fields.items() if name not in (*LIMITS, "seed")}
        return MeteredRequest(request_key(self._settings, conversation, others, limit, seed), conversation, limit)

    def earlier(self, request: MeteredRequest) -> Earlier:
        """Return what is known about a request from earlier attempts."""
        return self._file.earlier(request.key)

    async def start(self, request: MeteredRequest) -> None:
        """Wait until a request may be sent.

        Raises:
            PolicyFailure: it might exceed the budget, and no request is under way any more (`budget-spent`).
        """
        request.reserved = self._estimate(request)
        tokens = request.reserved.prompt + request.reserved.completion
        wait = max(self._requests.take(1), self._tokens.take(tokens))
        if wait:
            await asyncio.sleep(wait)
        while self._stopped or not self._fits(self._cost(request.reserved)):
            # Requests under way end first: their answers are paid for.
            if self._stopped or not self._file.under_way:
                self._stopped = True
                raise self._spent(self._cost(request.reserved))
            await self._file.wait()
        self._file.reserve(self._cost(request.reserved))

    def received(self, request: MeteredRequest, completion: Completion) -> None:
        """Record an answer. One that the server withheld counts as lost, so that it is requested again."""
        found = usage(completion, request.conversation, request.limit)
        if found is not None:
            self._prompt_tokens += found.prompt
            self._prompt_bytes += request.bytes
            self._longest = max(self._longest, found.completion)
        self._end(request, found, None if completion.choices[0].filtered else redact_known(completion.body))

    def lost(self, request: MeteredRequest, error: BaseException) -> None:
        """Record a request without an answer, unless it surely cost nothing."""
        if isinstance(error, FailedAnswer) and error.completion.usage is not None:
            self._end(request, usage(error.completion, request.conversation, None))
        elif isinstance(error, RequestRejected) or never_arrived(error):
            self._tokens.correct(-request.reserved.prompt - request.reserved.completion)
            self._file.release(self._cost(request.reserved))
        else:
            self._end(request, None)

    def _end(self, request: MeteredRequest, found: Usage | None, answer: str | None = None) -> None:
        """Record what a request cost; an unknown cost is estimated.

        Args:
            request: the request.
            found: its tokens, as the server reported them.
            answer: body of the response, if it can be used.
        """
        tokens = found or request.reserved
        if found is None and answer is not None:
            tokens = tokens._replace(completion=min(tokens.completion, len(answer.encode())))
        row = AnswerRow(
            key=request.key,
            model=self._settings.model,
            answer=answer,
            prompt_tokens=tokens.prompt,
            cached_tokens=tokens.cached,
            completion_tokens=tokens.completion,
            usd=round(self._settings.prices.usd(*tokens), 9),
            estimated=found is None,
            time=round(time.time(), 3),
        )
        self._tokens.correct(tokens.prompt + tokens.completion - request.reserved.prompt - request.reserved.completion)
        try:
            self._file.add(row)
        finally:
            self._file.release(self._cost(request.reserved))

    def _estimate(self, request: MeteredRequest) -> Usage:
        """Return the tokens of a request if its answer gets as long as it may."""
        per_byte = self._prompt_tokens / self._prompt_bytes if self._prompt_bytes else TOKENS_PER_BYTE
        return Usage(round(request.bytes * per_byte) + 1, 0, self._longest if request.limit is None else request.limit)

    def _cost(self, tokens: Usage) -> Spent:
        return Spent(tokens.prompt + tokens.completion, self._settings.prices.usd(*tokens))

    def _fits(self, cost: Spent) -> bool:
        budget = self._settings.budget
        total = self._file.spent.plus(self._file.reserved).plus(cost)
        within_tokens = budget.tokens is None or total.tokens <= budget.tokens
        return within_tokens and (budget.usd is None or total.usd <= budget.usd + 1e-12)

    def _spent(self, next_one: Spent) -> PolicyFailure:
        budget, spent, estimated = self._settings.budget, self._file.spent, self._file.estimated
        parts = []
        if budget.tokens is not None:
            parts.append(f"{spent.tokens:,} of {budget.tokens:,} tokens, the next request may take {next_one.tokens:,}")
        if budget.usd is not None:
            parts.append(f"${spent.usd:.4f} of ${budget.usd:g}, the next request may cost ${next_one.usd:.4f}")
        guessed = f" ({estimated.tokens:,} tokens are estimates for lost answers)" if estimated.tokens else ""
        return PolicyFailure(
            f"the budget of {self._settings.model!r} at {self._settings.endpoint} is spent: "
            f"{'; '.join(parts)}{guessed}",
            "Raise the setting `budget` and run the command again to continue: answers that were received are kept.",
            code="budget-spent",
            model=self._settings.model,
            tokens=spent.tokens,
            usd=round(spent.usd, 6),
            budget=budget.model_dump(),
            estimated_tokens=estimated.tokens,
            requests=self._file.requests,
        )


def never_arrived(error: BaseException) -> bool:
    """Return whether a request failed before it reached the server."""
    return type(error.__cause__).__name__.startswith(("Connect", "ProxyError", "UnsupportedProtocol", "PoolTimeout"))
