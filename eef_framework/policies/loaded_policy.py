"""A loaded transformers model that answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import PrivateAttr

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.interfaces import Policy, Sampling
from eef_framework.memory import release_memory
from eef_framework.policies.batching import Batcher
from eef_framework.policies.constraint import Constraints
from eef_framework.policies.decoding_state import DecodingState, GenerationRequest
from eef_framework.policies.engine import Engine
from eef_framework.policies.limits import free_memory
from eef_framework.policies.model_pass import Statistics
from eef_framework.policies.prompts import FittedPrompt, fit_prompt, sampled_response, scored_response
from eef_framework.policies.scoring_state import ScoringState
from eef_framework.records import Conversation, Observation, Response


class LoadedTransformersPolicy(Policy):
    """A causal language model of transformers in this process, with its weights."""

    name: ClassVar[str] = "transformers"

    chat: ChatTokenizer
    """Turns conversations into tokens."""
    engine: Engine | None
    """Completes batches of prompts; None once the policy is closed."""
    constraints: Constraints
    """Creates the constraints of constrained answers."""
    context_window: int | None
    """The model's context window, in tokens; None if unknown."""
    max_prompt_tokens: int | None
    """As for `TransformersPolicy`."""
    max_batch_tokens: int
    """As for `TransformersPolicy`."""
    min_free_bytes: int = 0
    """If less memory is free, caches are reduced before a batch."""

    _batcher: Batcher[DecodingState | ScoringState] = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Start the thread that runs the model."""
        self._batcher = Batcher(self._process, self._split)

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer the last message.

        With `sampling.constrain`, the whole answer is an admissible action, which suits the format's style `action`.

        Raises:
            PolicyFailure: the last observation is too long, the model failed, or the policy is closed.
        """
        fitted = self._fit(conversation, sampling.max_tokens)
        request = self._request(fitted, observation, sampling, seed)
        state = DecodingState(request, self.chat.end_ids, self.constraints.known_tokens)
        if not state.done:
            await self._batcher.do(state)
        return sampled_response(
            self.chat, fitted, state.new, logprob=round(state.logprob, 6), computed_tokens=state.computed_tokens
        )

    async def score(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, answers: Sequence[Response]
    ) -> Sequence[Response]:
        """Return possible answers to the last message with their log-probabilities.

        Raises:
            PolicyFailure: the last observation is too long, the model failed, or the policy is closed.
        """
        tokens = [self._answer_ids(answer, observation, sampling) for answer in answers]
        # As for `act`, except for answers that exceed the limit: they have to fit into the context window, too.
        fitted = self._fit(conversation, max([sampling.max_tokens, *map(len, tokens)]))
        request = self._request(fitted, observation, sampling)
        states = [ScoringState(request, ids, self.constraints.known_tokens) for ids in tokens]
        await asyncio.gather(*(self._batcher.do(state) for state in states if not state.done))
        return [
            scored_response(
                self.chat, fitted, answer, state.answer, state.logprobs, computed_tokens=state.computed_tokens
            )
            for answer, state in zip(answers, states, strict=True)
        ]

    @property
    def statistics(self) -> Statistics:
        """Statistics of the model since it was loaded; empty once the policy is closed."""
        return self.engine.statistics if self.engine else Statistics()

    def close(self) -> None:
        """Release the model, after the current decoding step."""
        if self.engine:
            self.engine.stop()
        self._batcher.close()
        self.engine = None
        release_memory()

    def _request(
        self, fitted: FittedPrompt, observation: Observation, sampling: Sampling, seed: int = 0
    ) -> GenerationRequest:
        return GenerationRequest(
            prompt=fitted.prompt.ids,
            earlier=tuple(start for start, _ in fitted.prompt.turns),
            start=self.constraints.start(observation) if sampling.constrain else None,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            seed=seed,
        )

    def _answer_ids(self, answer: Response, observation: Observation, sampling: Sampling) -> Sequence[int]:
        if answer.token_ids and answer.tokenizer == self.chat.fingerprint:
            return answer.token_ids
        return self.constraints.answer_ids(answer.text, observation if sampling.constrain else None)

    def _fit(self, conversation: Conversation, max_answer_tokens: int) -> FittedPrompt:
        return fit_prompt(self.chat, conversation, max_answer_tokens, self.context_window, self.max_prompt_tokens)

    def _process(self, states: list[DecodingState | ScoringState]) -> None:
        """Process a batch. If memory has become scarce, release unused memory first, and then part of the KV cache."""
        engine = self.engine
        assert engine is not None  # closing waits for the batch
        if self.min_free_bytes and free_memory("cpu") < self.min_free_bytes:
            release_memory()
            if free_memory("cpu") < self.min_free_bytes:
                engine.prefix_cache.shrink()
        engine.complete([state for state in states if isinstance(state, DecodingState)])
        engine.score([state for state in states if isinstance(state, ScoringState)])

    def _split(self, states: list[DecodingState | ScoringState]) -> list[list[DecodingState | ScoringState]]:
        """Split requests into batches of similar length that fit into memory."""
        batches: list[list[DecodingState | ScoringState]] = []
        longest = 0
        for state in sorted(states, key=lambda state: (state.new_tokens, len(state.request.prompt))):
            longest = max([longest, len(state.request.prompt) + state.request.max_tokens])
            if not batches or longest * (len(batches[-1]) + 1) > self.max_batch_tokens:
                batches.append([])
                longest = len(state.request.prompt) + state.request.max_tokens
            batches[-1].append(state)
        return batches
