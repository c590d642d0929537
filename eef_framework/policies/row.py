"""A question to the engine, and its answer in the making."""

from __future__ import annotations

from dataclasses import dataclass

from eef_framework.policies.choice import Draw, Pick, uniform
from eef_framework.policies.constraint import Allowed, State


@dataclass(frozen=True)
class Request:
    """A question to the engine."""

    prompt: tuple[int, ...]
    start: State | None
    """Where a constrained answer starts; None if it may be anything."""
    temperature: float
    max_tokens: int
    seed: int
    earlier: tuple[int, ...] = ()
    """Where the earlier answers in the prompt start."""


class Row:
    """An answer in the making.

    Attributes:
        new: its tokens so far.
        fed: how many of them the model has seen.
        done: whether it is complete.
        logprob: logarithm of the probability of the tokens so far, under the distribution they were sampled from.
    """

    def __init__(self, request: Request, ends: frozenset[int], meaningful: Allowed | None) -> None:
        self.request = request
        self.new: list[int] = []
        self.fed = 0
        self.done = False
        self.logprob = 0.0
        self._last_choice: int | None = None  # its place in the answer
        self._state, self._ends, self._meaningful = request.start, ends, meaningful
        self._follow_the_only_way()

    @property
    def ids(self) -> tuple[int, ...]:
        """Prompt and answer so far."""
        return (*self.request.prompt, *self.new)

    @property
    def seen(self) -> tuple[int, ...]:
        """The tokens that went through the model."""
        return self.ids[: len(self.request.prompt) + self.fed]

    @property
    def new_tokens(self) -> int:
        """Length of the prompt behind the start of the last earlier answer: about what isn't in a cache."""
        return len(self.request.prompt) - max(self.request.earlier, default=0)

    @property
    def computed_tokens(self) -> int:
        """Tokens that had to go through the model for this answer, had it been the only one."""
        return len(self.request.prompt) + self._last_choice if self._last_choice is not None else 0

    def draw(self) -> Draw:
        """Return what the next choice depends on."""
        return Draw(self._allowed(), self.request.temperature, uniform(self.request.seed, len(self.new)))

    def take(self, pick: Pick) -> None:
        """Add the chosen token, and those that must follow it."""
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
