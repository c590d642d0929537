"""The agent, or an expert, as a model behind a server."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from pydantic import PrivateAttr

from eef_framework.errors import AnswerFailure, PolicyFailure
from eef_framework.interfaces import Policy, Sampling
from eef_framework.policies.openai.answer import Completion, logprobs, token_ids, usage
from eef_framework.policies.openai.connection import Connection
from eef_framework.policies.openai.constraint import constraint
from eef_framework.policies.openai.failures import TooLong
from eef_framework.policies.openai.settings import ServerSettings
from eef_framework.policies.openai.window import spare_observations, without_oldest
from eef_framework.records import Conversation, Info, Observation, Response

LARGEST_SEED = 2**31 - 1
"""Some servers keep seeds in 32 bits."""


class OpenAIPolicy(ServerSettings, Policy):
    """A model behind a server that speaks the chat-completions API: OpenAI, vLLM, llama.cpp, transformers serve.

    It is given seed and sampling with every request. Whether equal requests get equal answers is up to the server;
    most don't promise it.
    """

    name: ClassVar[str] = "openai"

    _connection: Connection | None = PrivateAttr(default=None)
    _vllm: bool | None = PrivateAttr(default=None)
    _looking: asyncio.Task[bool] | None = PrivateAttr(default=None)
    _fingerprint: str = PrivateAttr(default="")

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer the last message.

        Raises:
            AnswerFailure: this answer is lost: the server broke off, or said nothing readable, however often it was
                asked.
            PolicyFailure: no answer will come: the server can't be reached, or refuses key, model or settings.
        """
        connection = self._connect()
        vllm = await self._is_vllm(connection)
        fields = self._fields(sampling, seed, vllm)
        if sampling.constrain:
            fields |= self._constraint(observation, vllm)
        completion, dropped, requests = await self._ask(connection, conversation, fields)
        response = self._response(completion, without_oldest(conversation, dropped), sampling)
        if sampling.constrain:
            self._check_constraint(response, observation)
        notes = {"requests": requests} if requests > 1 else {}
        told: Response = response.changed(dropped=dropped, info={**response.info, **notes})
        return told

    def close(self) -> None:
        """Forget the connection. Its sockets are closed with it."""
        self._connection = self._looking = None

    def _connect(self) -> Connection:
        # A client belongs to one event loop; a policy may serve several, one after the other.
        if self._connection is None or self._connection.loop is not asyncio.get_running_loop():
            self._connection, self._looking = Connection(self), None
        return self._connection

    async def _is_vllm(self, connection: Connection) -> bool:
        if self.server != "auto":
            return self.server == "vllm"
        if self.base_url is None:
            return False
        if self._vllm is None:
            # Whoever is first looks, and the others wait for the same. One who gives up doesn't take it from the rest.
            self._looking = self._looking or asyncio.create_task(connection.is_vllm())
            self._vllm = await asyncio.shield(self._looking)
        return self._vllm

    def _fields(self, sampling: Sampling, seed: int, vllm: bool) -> dict[str, Any]:
        """Return the body of a request without model and messages."""
        fields: dict[str, Any] = {
            "temperature": sampling.temperature,
            self.token_limit: sampling.max_tokens,
            "seed": seed & LARGEST_SEED,
            "stop": list(self.stop) or None,
            "logprobs": self.logprobs or None,
            "return_token_ids": vllm or None,
            **self.extra,
        }
        return {field: value for field, value in fields.items() if value is not None}

    def _constraint(self, observation: Observation, vllm: bool) -> dict[str, Any]:
        if not vllm:
            raise PolicyFailure(
                f"{self.model!r} at {self.place} can't be told which answers are allowed; vLLM can",
                "Set sampling.constrain to false, or server to 'vllm' if it is one.",
            )
        return constraint(observation, self.constraint)

    def _check_constraint(self, response: Response, observation: Observation) -> None:
        if not observation.admits(response.text) and response.info.get("finish") != "length":
            other = "guided" if self.constraint == "structured_outputs" else "structured_outputs"
            raise PolicyFailure(
                f"{self.model!r} at {self.place} took no notice of the allowed answers: it said {response.text!r:.100}",
                f"Set constraint to {other!r}, or sampling.constrain to false.",
            )

    async def _ask(
        self, connection: Connection, conversation: Conversation, fields: dict[str, Any]
    ) -> tuple[Completion, int, int]:
        """Return an answer, how many observations were left out for it, and the number of requests."""
        dropped = refused = 0
        while True:
            try:
                completion, attempts = await connection.ask(_messages(without_oldest(conversation, dropped)), fields)
                return completion, dropped, refused + attempts
            except TooLong as cause:
                spare = spare_observations(conversation)
                if self.overflow == "fail" or dropped >= spare:
                    raise AnswerFailure(
                        f"the conversation is longer than the context of {self.model!r} at {self.place}: {cause}",
                        "Lower format.history or max_tokens, or serve the model with a longer context.",
                    ) from cause
                # Doubling, so that few requests are refused; about twice as much as has to be is left out at most.
                dropped, refused = min(2 * dropped + 1, spare), refused + 1

    def _response(self, completion: Completion, shown: Conversation, sampling: Sampling) -> Response:
        choice = completion.choices[0]
        if choice.finish_reason == "content_filter":
            raise AnswerFailure(f"{self.model!r} at {self.place} withheld its answer (content_filter)")
        info: Info = {} if choice.finish_reason in ("stop", None) else {"finish": choice.finish_reason}
        tokens = usage(completion, shown, sampling.max_tokens)
        if tokens is None:
            info["usage"] = "unknown"  # missing, or impossible: nothing is counted
        else:
            info["completion_tokens"] = tokens.completion
        ids, chances = token_ids(choice.token_ids), logprobs(choice.logprobs)
        # Servers report the model's own probabilities; those sampled from differ at other temperatures.
        own = chances is not None and sampling.temperature in (0.0, 1.0) and not sampling.constrain
        return Response(
            text=choice.message.content or "",
            token_ids=ids,
            tokenizer=self._tokenizer() if ids else "",
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
                from eef_framework.chat.tokens import ChatTokenizer
                from eef_framework.policies.loading import load_tokenizer

                self._fingerprint = ChatTokenizer(load_tokenizer(self.tokenizer)).fingerprint
        return self._fingerprint


def _messages(conversation: Conversation) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in conversation]
