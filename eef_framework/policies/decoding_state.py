"""Generation requests and their decoding state."""

from __future__ import annotations

from dataclasses import dataclass

from eef_framework.policies.constraint import Allowed, Constraint
from eef_framework.policies.sampling import Sample, SamplingRequest, uniform


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt to answer."""

    prompt: tuple[int, ...]
    start: Constraint | None
    """Initial state of a constrained answer; None if unconstrained."""
    temperature: float
    max_tokens: int
    seed: int
    earlier: tuple[int, ...] = ()
    """Start of each earlier answer in the prompt."""


class DecodingState:
    """The decoding state of an answer.

    Args:
        request: the prompt, and how to answer it.
        ends: each of these tokens ends an unconstrained answer.
        known_tokens: mask of the logits that represent a token; None if all do.

    Attributes:
        new: the answer's tokens so far.
        processed: number of them that the model has processed.
        done: whether the answer is complete.
        logprob: log-probability of the tokens so far, under the distribution they were sampled from.
    """

    def __init__(self, request: GenerationRequest, ends: frozenset[int], known_tokens: Allowed | None) -> None:
        self.request = request
        self.new: list[int] = []
        self.processed = 0
        self.done = False
        self.logprob = 0.0
        self._last_sample: int | None = None  # its index in the answer
        self._constraint, self._ends, self._known_tokens = request.start, ends, known_tokens
        self._append_forced()

    @property
    def ids(self) -> tuple[int, ...]:
        """Prompt and answer so far."""
        return (*self.request.prompt, *self.new)

    @property
    def processed_ids(self) -> tuple[int, ...]:
        """The tokens of prompt and answer that the model has processed."""
        return self.ids[: len(self.request.prompt) + self.processed]

    @property
    def new_tokens(self) -> int:
        """Length of the prompt after the start of the last earlier answer: roughly the uncached part."""
        return len(self.request.prompt) - max(self.request.earlier, default=0)

    @property
    def computed_tokens(self) -> int:
        """Tokens that the model would process for this answer if it were the only one."""
        return len(self.request.prompt) + self._last_sample if self._last_sample is not None else 0

    def sampling_request(self) -> SamplingRequest:
        """Return the inputs of the next sample."""
        return SamplingRequest(self._allowed(), self.request.temperature, uniform(self.request.seed, len(self.new)))

    def append(self, sample: Sample) -> None:
        """Append a sampled token, and those that must follow it."""
        self._last_sample = len(self.new)
        self.logprob += sample.logprob
        self._append(sample.token)
        self._append_forced()

    def _allowed(self) -> Allowed | None:
        if self._constraint is None:
            return self._known_tokens
        return self._constraint.allowed(self.request.max_tokens - len(self.new))

    def _append(self, token: int) -> None:
        self.new.append(token)
        if self._constraint is not None:
            self._constraint = self._constraint.after(token)
            self.done = self._constraint is None
        else:
            self.done = token in self._ends or len(self.new) >= self.request.max_tokens

    def _append_forced(self) -> None:
        """Append tokens that have no alternative; they need neither the model nor a random number."""
        while not self.done and self._constraint is not None:
            allowed = self._allowed()
            if not (isinstance(allowed, tuple) and len(allowed) == 1):
                return
            self._append(allowed[0])
