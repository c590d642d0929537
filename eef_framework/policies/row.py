"""A generation request and its decoding state."""

from __future__ import annotations

from dataclasses import dataclass

from eef_framework.policies.choice import Draw, Pick, uniform
from eef_framework.policies.constraint import Allowed, State


@dataclass(frozen=True)
class Request:
    """A generation request."""

    prompt: tuple[int, ...]
    start: State | None
    """Initial state of a constrained answer; None if unconstrained."""
    temperature: float
    max_tokens: int
    seed: int
    earlier: tuple[int, ...] = ()
    """Start of each earlier answer in the prompt."""


class Row:
    """The decoding state of an answer.

    Attributes:
        new: its tokens so far.
        fed: number of them that the model has processed.
        done: whether it is complete.
        logprob: log-probability of the tokens so far, under the distribution they were sampled from.
    """

    def __init__(self, request: Request, ends: frozenset[int], meaningful: Allowed | None) -> None:
        self.request = request
        self.new: list[int] = []
        self.fed = 0
        self.done = False
        self.logprob = 0.0
        self._last_choice: int | None = None  # its index in the answer
        self._state, self._ends, self._meaningful = request.start, ends, meaningful
        self._follow_the_only_way()

    @property
    def ids(self) -> tuple[int, ...]:
        """Prompt and answer so far."""
        return (*self.request.prompt, *self.new)

    @property
    def seen(self) -> tuple[int, ...]:
        """The tokens that the model has processed."""
        return self.ids[: len(self.request.prompt) + self.fed]

    @property
    def new_tokens(self) -> int:
        """Length of the prompt after the start of the last earlier answer: roughly the uncached part."""
        return len(self.request.prompt) - max(self.request.earlier, default=0)

    @property
    def computed_tokens(self) -> int:
        """Tokens that the model would process for this answer if it were the only one."""
        return len(self.request.prompt) + self._last_choice if self._last_choice is not None else 0

    def draw(self) -> Draw:
        """Return the inputs of the next choice."""
        return Draw(self._allowed(), self.request.temperature, uniform(self.request.seed, len(self.new)))

    def take(self, pick: Pick) -> None:
        """Append the chosen token, and those that must follow it."""
        self._last_choice = len(self.new)
        self.logprob += pick.logprob
        self._add(pick.token)
        self._follow_the_only_way()

    def _allowed(self) -> Allowed | None:
        return self._state.allowed(self.request.max_tokens - len(self.new)) if self._state else self._meaningful

    def _add(self, token: int) -> None:
        self.new.append(token)
        if self._state is not None:
            self._state = self._state.after(token)
            self.done = self._state is None
        else:
            self.done = token in self._ends or len(self.new) >= self.request.max_tokens

    def _follow_the_only_way(self) -> None:
        while not self.done and self._state is not None:
            allowed = self._allowed()
            if not (isinstance(allowed, tuple) and len(allowed) == 1):
                return
            self._add(allowed[0])
