"""A policy whose model is served by vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from eef_framework.chat import ChatTokenizer
from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import Policy, Sampling
from eef_framework.policies import fit_prompt, sampled_response, scored_response
from eef_framework.policies.chat_completions import constraint
from eef_framework.records import Conversation, Observation, Response
from eef_vllm.api import completion_request
from eef_vllm.replicas import Replicas

LARGEST_SEED = 2**63 - 1
"""vLLM stores seeds in 64 bits, with a sign."""


class LoadedVllmPolicy(Policy):
    """The weights of a checkpoint on vLLM servers.

    Prompts are sent as tokens and answers come back as tokens, so training uses exactly what was sampled.
    """

    name: ClassVar[str] = "vllm"

    chat: ChatTokenizer
    """Turns conversations into tokens."""
    replicas: Replicas
    """The servers."""
    model: str
    """Name of the weights on the servers."""
    max_prompt_tokens: int | None
    """As for `VllmPolicy`."""
    release: Callable[[], None]
    """Called once, when the policy is closed."""
    closed: bool = False
    """Whether it is closed."""

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer the last message.

        A failed request is sent again, to another server or once the server is back.

        Raises:
            AnswerFailure: this request failed repeatedly, while others were answered.
            PolicyFailure: the last observation is too long, no server answers, or one has other weights.
        """
        self._require_open()
        window = self.replicas.context_window
        fitted = fit_prompt(self.chat, conversation, sampling.max_tokens, window, self.max_prompt_tokens)
        allowed = constraint(observation, "structured_outputs") if sampling.constrain else {}
        body = completion_request(
            self.model,
            fitted.prompt.ids,
            sampling.max_tokens,
            sampling.temperature,
            seed & LARGEST_SEED,
            stop_token_ids=sorted(self.chat.end_ids),
            **allowed,
        )
        ids, logprobs = await self.replicas.complete(sticky_key(conversation), body)
        # The server reports the model's own probabilities; those sampled from differ at other temperatures.
        own: dict[str, Any] = {}
        if sampling.temperature in (0.0, 1.0) and not allowed:
            rounded = tuple(round(logprob, 6) for logprob in logprobs)
            own = {"logprob": round(sum(logprobs), 6), "logprobs": rounded}
        computed = len(fitted.prompt.ids) + len(ids) - 1
        return sampled_response(self.chat, fitted, ids, computed_tokens=computed, **own)

    async def score(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, answers: Sequence[Response]
    ) -> Sequence[Response]:
        """Return possible answers to the last message with their log-probabilities.

        Raises:
            PolicyFailure: the server doesn't score answers with this sampling (`scoring-unsupported`), or as for `act`.
        """
        self._require_open()
        if sampling.constrain or sampling.temperature not in (0.0, 1.0):
            raise PolicyFailure(
                "vLLM scores answers at temperature 1 without constraints only",
                "Set sampling.temperature to 1 or 0, and sampling.constrain to false.",
                code="scoring-unsupported",
                policy=self.component_name(),
            )
        tokens = [self._answer_ids(answer) for answer in answers]
        longest = max([sampling.max_tokens, *map(len, tokens)])
        fitted = fit_prompt(self.chat, conversation, longest, self.replicas.context_window, self.max_prompt_tokens)
        prompt, key = fitted.prompt.ids, sticky_key(conversation)

        async def logprobs(ids: Sequence[int]) -> list[float]:
            steps = (self.replicas.score(key, self.model, (*prompt, *ids[:n]), ids[n]) for n in range(len(ids)))
            return await asyncio.gather(*steps)

        scores = await asyncio.gather(*map(logprobs, tokens))
        return [
            scored_response(self.chat, fitted, answer, ids, found, computed_tokens=len(prompt) + len(ids))
            for answer, ids, found in zip(answers, tokens, scores, strict=True)
        ]

    def close(self) -> None:
        """Unload the weights from the servers."""
        if not self.closed:
            self.closed = True
            self.release()

    def _answer_ids(self, answer: Response) -> Sequence[int]:
        if answer.token_ids and answer.tokenizer == self.chat.fingerprint:
            return answer.token_ids
        return [*self.chat.answer_ids(answer.text), *self.chat.stop_ids]

    def _require_open(self) -> None:
        if self.closed:
            raise PolicyFailure("the policy is closed", "Load the checkpoint again.", code="closed")


def sticky_key(conversation: Conversation) -> str:
    """Return what is equal for conversations of one trajectory: all messages up to the first observation.

    Requests with equal keys go to the same server, whose prefix cache then has the beginning of the prompt.
    """
    first = next((index for index, message in enumerate(conversation) if message.role == "user"), 0)
    return "\n".join(message.content for message in conversation[: first + 1])
