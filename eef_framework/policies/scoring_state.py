"""The scoring state of a given answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eef_framework.policies.constraint import Allowed, Constraint
from eef_framework.policies.decoding_state import GenerationRequest
from eef_framework.policies.sampling import SamplingRequest, token_logprob

if TYPE_CHECKING:
    from torch import Tensor

_UNUSED = 0.5
"""Scoring needs no random numbers."""
_NO_LIMIT = 1 << 20
"""A limit on the length of answers that none reaches, in tokens."""


class ScoringState:
    """The scoring state of a given answer: its log-probability under the distribution that it would be sampled from.

    Args:
        request: the prompt, and how it would be answered.
        answer: the answer's tokens, at least one.
        known_tokens: mask of the logits that represent a token; None if all do.

    Attributes:
        answer: the same.
        done: whether all log-probabilities are known.
        logprobs: log-probability of each token; 0 for one without an alternative. If the answer can't be sampled, that
            of the last token is minus infinity.
    """

    def __init__(self, request: GenerationRequest, answer: Sequence[int], known_tokens: Allowed | None) -> None:
        self.request = request
        self.answer = tuple(answer)
        self.logprobs = [0.0] * len(self.answer)
        wanted = self._unconstrained(known_tokens) if request.start is None else self._constrained(request.start)
        if wanted is None:
            self.logprobs[-1] = float("-inf")
        self._wanted = wanted or {}
        self.done = not self._wanted

    @property
    def ids(self) -> tuple[int, ...]:
        """The prompt."""
        return self.request.prompt

    @property
    def new_tokens(self) -> int:
        """Length of the prompt after the start of the last earlier answer: roughly the uncached part."""
        return len(self.request.prompt) - max(self.request.earlier, default=0)

    @property
    def computed_tokens(self) -> int:
        """Tokens that the model would process for this answer if it were the only one."""
        return len(self.request.prompt) + max(self._wanted) if self._wanted else 0

    def add(self, position: int, logits: Tensor) -> None:
        """Record the log-probability of a token.

        Args:
            position: its index in the answer.
            logits: those before it, `(vocabulary,)`.
        """
        if (request := self._wanted.get(position)) is not None:
            self.logprobs[position] = token_logprob(logits, request, self.answer[position])

    def _unconstrained(self, known_tokens: Allowed | None) -> dict[int, SamplingRequest] | None:
        request = SamplingRequest(known_tokens, self.request.temperature, _UNUSED)
        return dict.fromkeys(range(len(self.answer)), request)

    def _constrained(self, start: Constraint) -> dict[int, SamplingRequest] | None:
        """Return position -> how its token would be sampled, for tokens with an alternative; None if one is forbidden.

        The limit on the length has no effect on answers that exceed it.
        """
        within = self._walk(start, self.request.max_tokens)
        return self._walk(start, _NO_LIMIT) if within is None else within

    def _walk(self, start: Constraint, limit: int) -> dict[int, SamplingRequest] | None:
        wanted: dict[int, SamplingRequest] = {}
        constraint: Constraint | None = start
        for position, token in enumerate(self.answer):
            if constraint is None:  # the answer goes on after its end
                return None
            allowed = constraint.allowed(limit - position)
            if not (token in allowed if isinstance(allowed, tuple) else bool(allowed[token])):
                return None
            if not (isinstance(allowed, tuple) and len(allowed) == 1):
                wanted[position] = SamplingRequest(allowed, self.request.temperature, _UNUSED)
            constraint = constraint.after(token)
        return wanted
