"""Policy with a model on a server."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, NamedTuple

from pydantic import PrivateAttr

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import AnswerFailure, EefWarning, PolicyFailure
from eef_framework.interfaces import Policy, Sampling
from eef_framework.policies.chat_completions.answer import Completion, logprobs, token_ids, without_text
from eef_framework.policies.chat_completions.answer_file import AnswerFile, answer_file_of
from eef_framework.policies.chat_completions.connection import Connection
from eef_framework.policies.chat_completions.constraint import constraint
from eef_framework.policies.chat_completions.context_limit import ContextLimit
from eef_framework.policies.chat_completions.error_response import shortened
from eef_framework.policies.chat_completions.failures import (
    AvoidableRejection,
    ContextExceeded,
    FieldRejected,
    RejectedWithoutReason,
)
from eef_framework.policies.chat_completions.meter import Meter
from eef_framework.policies.chat_completions.request_log import RequestLog
from eef_framework.policies.chat_completions.scoring import require_scores, score_answer
from eef_framework.policies.chat_completions.settings import ServerSettings, limit_of
from eef_framework.policies.chat_completions.statistics import AnswerStatistics
from eef_framework.policies.chat_completions.usage import usage
from eef_framework.policies.truncation import droppable_observations, without_oldest
from eef_framework.records import Conversation, Info, Observation, Response
from eef_framework.redaction import redact_known

LARGEST_SEED = 2**31 - 1
"""Some servers store seeds in 32 bits."""


class _Answered(NamedTuple):
    """An answer with its request.

    Attributes:
        completion: the answer.
        dropped: number of observations dropped from the conversation.
        fields: the fields of the request.
    """

    completion: Completion
    dropped: int
    fields: dict[str, Any]


class OpenAIPolicy(ServerSettings, Policy):
    """A model on a server with a chat-completions API: OpenAI, vLLM, llama.cpp, transformers serve.

    Seed and sampling settings are sent with every request. Whether equal requests get equal answers is up to the
    server; most don't guarantee it.

    A failure of the server is never an action: the request is retried, and an answer that stays lost ends its episode
    as an error, which isn't used as evidence. The same holds for an answer withheld by the server's content filter. A
    model's own refusal or an empty answer is an answer: it is played unchanged, and `Response.info["without_text"]`
    says why it has no text.
    """

    name: ClassVar[str] = "openai"

    _connection: Connection | None = PrivateAttr(default=None)
    _vllm: bool | None = PrivateAttr(default=None)
    _looking: asyncio.Task[bool] | None = PrivateAttr(default=None)
    _context_limit: ContextLimit = PrivateAttr(default_factory=ContextLimit)
    _statistics: AnswerStatistics = PrivateAttr(default_factory=AnswerStatistics)
    _meter: Meter | None = PrivateAttr(default=None)
    _files: ExitStack = PrivateAttr(default_factory=ExitStack)
    _limit_name: str = PrivateAttr(default="")
    _seedless: bool = PrivateAttr(default=False)
    _fingerprint: str = PrivateAttr(default="")
    _loaded_tokenizer: ChatTokenizer | None = PrivateAttr(default=None)

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer the last message.

        Raises:
            AnswerFailure: this answer is lost: after all retries the server failed, its response was unreadable, or it
                withheld the answer. The details contain its cost: `usd`, `computed_tokens`.
            PolicyFailure: no request can be answered: the server can't be reached, or refuses key, model or settings.
            ConfigError: the key or something else needed to reach the server is missing.
        """
        connection = self._connect()
        vllm = await self._is_vllm(connection)
        allowed = self._constraint(observation, vllm) if sampling.constrain else {}
        tools = [tool.function for tool in conversation[0].tools]
        log = RequestLog()

        def fields() -> dict[str, Any]:  # they are adapted between requests
            return self._fields(sampling, seed, vllm, tools) | allowed

        try:
            asked = await self._ask(connection, conversation, fields, seed, log)
            if asked.completion.choices[0].filtered:
                raise self._filtered(asked.completion, log)
        except AnswerFailure as failure:
            failure.details |= log.costs_of_lost(conversation, self.prices)
            raise
        response = self._response(asked, without_oldest(conversation, asked.dropped), sampling)
        if sampling.constrain:
            self._check_constraint(response, observation)
        return log.charged(response, conversation, self.prices)

    async def score(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, answers: Sequence[Response]
    ) -> Sequence[Response]:
        """Return possible answers with their log-probabilities, from vLLM; needs `tokenizer`.

        A conversation that is longer than the model's context isn't shortened.

        Raises:
            AnswerFailure: a score is lost.
            PolicyFailure: answers can't be scored with this server or this sampling (`scoring-unsupported`), or no
                request can be answered.
        """
        connection = self._connect()
        require_scores(self, sampling, await self._is_vllm(connection))
        chat = self._chat()
        scores = (score_answer(connection, self, chat, conversation, answer) for answer in answers)
        return await asyncio.gather(*scores)

    def close(self) -> None:
        """Drop the connection, which closes its sockets, and warn of answers without text or costs."""
        self._connection = self._looking = self._meter = None
        self._files.close()
        statistics, self._statistics = self._statistics, AnswerStatistics()
        statistics.warn(self.model, self.endpoint)

    def _connect(self) -> Connection:
        # A client belongs to one event loop; a policy may serve several in turn.
        if self._connection is None or self._connection.loop is not asyncio.get_running_loop():
            self._connection, self._looking = Connection(self, self._metered(), self._connection), None
        return self._connection

    def _metered(self) -> Meter:
        """Return what limits and records the requests; opens the file of answers."""
        if self._meter is None:
            file = self._files.enter_context(AnswerFile.opened(answer_file_of(self)))
            self._meter = Meter(self, file)
        return self._meter

    async def _is_vllm(self, connection: Connection) -> bool:
        if self.server != "auto":
            return self.server == "vllm"
        if self.base_url is None:
            return False
        if self._vllm is None:
            # The first caller looks, and the others await the same task. A cancelled caller doesn't cancel it for the
            # others.
            self._looking = self._looking or asyncio.create_task(connection.is_vllm())
            self._vllm = await asyncio.shield(self._looking)
        return self._vllm

    def _fields(self, sampling: Sampling, seed: int, vllm: bool, tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the body of a request without model and messages."""
        fields: dict[str, Any] = {
            "temperature": sampling.temperature,
            self._limit_name or self.token_limit: sampling.max_tokens,
            "seed": None if self._seedless else seed & LARGEST_SEED,
            "stop": list(self.stop) or None,
            "logprobs": self.logprobs or None,
            "return_token_ids": vllm or None,
            "tools": tools or None,
            # vLLM then returns calls as the text that was sampled, which its token ids belong to, and needs no parser.
            "tool_choice": "none" if tools and vllm else None,
            **self.extra,
        }
        return {field: value for field, value in fields.items() if value is not None}

    def _constraint(self, observation: Observation, vllm: bool) -> dict[str, Any]:
        if not vllm:
            raise PolicyFailure(
                f"{self.model!r} at {self.endpoint} doesn't support restricting answers; vLLM does",
                "Set sampling.constrain to false, or server to 'vllm' if it is one.",
                code="constraint-unsupported",
            )
        return constraint(observation, self.constraint)

    def _check_constraint(self, response: Response, observation: Observation) -> None:
        if not observation.admits(response.text) and response.info.get("finish") != "length":
            other = "guided" if self.constraint == "structured_outputs" else "structured_outputs"
            raise PolicyFailure(
                f"{self.model!r} at {self.endpoint} ignored the allowed answers: it answered {response.text!r:.100}",
                f"Set constraint to {other!r}, or sampling.constrain to false.",
                code="constraint-ignored",
                text=response.text,
            )

    async def _ask(
        self,
        connection: Connection,
        conversation: Conversation,
        fields_now: Callable[[], dict[str, Any]],
        seed: int,
        log: RequestLog,
    ) -> _Answered:
        """Return an answer to a conversation, or to as much of its end as fits into the model's context."""
        most = droppable_observations(conversation) if self.overflow == "drop-oldest" else 0
        shortest: Completion | None = None
        dropped = 0
        while True:
            fields = fields_now()
            limit = limit_of(fields)
            shown = without_oldest(conversation, dropped)
            if dropped < most and self._context_limit.refuses(shown, limit):
                dropped = min(2 * dropped + 1, most)
                continue
            if dropped == most and shortest is not None:
                return _Answered(shortest, dropped, fields)
            try:
                completion = await connection.ask(shown, fields, seed, log, self._context_limit.knows)
                return _Answered(completion, dropped, fields)
            except FieldRejected as rejected:
                self._adapt_requests(rejected)
            except ContextExceeded as rejected:
                if dropped >= most:
                    raise rejected.failure from None
                self._context_limit.learn(shown, limit, rejected.rejection)
                # Doubling, so that few requests are refused; at most about twice as much as necessary is dropped.
                dropped = min(2 * dropped + 1, most)
            except RejectedWithoutReason as rejected:
                if dropped >= most:
                    raise rejected.failure from None
                # The wording of servers varies. A request that is answered without its history was too long.
                try:
                    short = without_oldest(conversation, most)
                    shortest = await connection.ask(short, fields, seed, log, self._context_limit.knows)
                except (AvoidableRejection, AnswerFailure):
                    raise rejected.failure from None
                self._context_limit.learn_wording(rejected.rejection)
                self._context_limit.learn(shown, limit, rejected.rejection)
                dropped = min(2 * dropped + 1, most)

    def _adapt_requests(self, rejected: FieldRejected) -> None:
        """Change the form of later requests, if that doesn't change any answer.

        Raises:
            EefError: the field affects answers, so that only the user can decide to remove it.
        """
        field = rejected.field
        if field in self.extra:
            raise rejected.failure from None
        other = "max_completion_tokens" if field == "max_tokens" else "max_tokens"
        if (
            field in ("max_tokens", "max_completion_tokens")
            and not self._limit_name
            and other in rejected.rejection.text
        ):
            self._limit_name = other
            return
        if field == "seed" and not self._seedless:
            self._seedless = True
            warnings.warn(
                EefWarning(
                    f"{self.model!r} at {self.endpoint} takes no seed: equal requests may be answered differently",
                    code="no-seed",
                    model=self.model,
                ),
                stacklevel=2,
            )
            return
        raise rejected.failure from None

    def _filtered(self, completion: Completion, log: RequestLog) -> AnswerFailure:
        """Return the failure for an answer withheld by the server's content filter."""
        log.lost.append(completion)
        word = completion.choices[0].filtered
        return AnswerFailure(
            f"{self.model!r} at {self.endpoint} withheld its answer ({word})",
            code="content-filter",
            model=self.model,
            base_url=self.endpoint,
            finish_reason=word,
        )

    def _response(self, asked: _Answered, shown: Conversation, sampling: Sampling) -> Response:
        completion = asked.completion
        choice = completion.choices[0]
        info: Info = {} if choice.finish_reason in ("stop", "") else {"finish": choice.finish_reason}
        tokens = usage(completion, shown, limit_of(asked.fields))
        if tokens is None:
            info["usage"] = "unknown"  # missing, or impossible: nothing is counted
        else:
            info["completion_tokens"] = tokens.completion
        silent = without_text(choice, completion.usage, stop="stop" in asked.fields)
        self._statistics.add(silent, counted=tokens is not None)
        if silent:
            info["without_text"] = silent
            if choice.message.refused:
                info["refusal"] = shortened(choice.message.refused)
        ids, chances = token_ids(choice.token_ids), logprobs(choice.logprobs)
        # Servers report the model's own probabilities; those sampled from differ at other temperatures.
        own = chances is not None and sampling.temperature in (0.0, 1.0) and not sampling.constrain
        text = redact_known(choice.message.content or "")
        if text != (choice.message.content or "") or choice.message.called:
            ids = None  # they would spell the key, or calls in another notation than the text's
        return Response(
            text=text,
            thought=redact_known(choice.message.thought),
            token_ids=ids,
            tokenizer=self._tokenizer() if ids else "",
            dropped=asked.dropped,
            prompt_tokens=tokens.prompt if tokens else 0,
            computed_tokens=tokens.prompt - tokens.cached + tokens.completion if tokens else 0,
            logprob=sum(chances) if own and chances else None,
            logprobs=chances,
            usd=self.prices.usd(*tokens) if tokens else 0.0,
            info=info,
        )

    def _tokenizer(self) -> str:
        """Return the fingerprint of the server's tokenizer."""
        if not self._fingerprint:
            self._fingerprint = f"server:{self.model}"
            if self.tokenizer:
                self._fingerprint = self._chat().fingerprint
        return self._fingerprint

    def _chat(self) -> ChatTokenizer:
        """Return the server's tokenizer, which the settings name."""
        if self._loaded_tokenizer is None:
            from eef_framework.policies.loading import load_tokenizer

            self._loaded_tokenizer = ChatTokenizer(load_tokenizer(self.tokenizer))
        return self._loaded_tokenizer
