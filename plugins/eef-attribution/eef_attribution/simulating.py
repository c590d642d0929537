"""Base class of the strategies that compare states by simulations from them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from eef_attribution.evidence import Decide, Outcome, Rule, compare, fisher, outcome_of, segment_between, sprt
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Segment, StateValue, Verdict


class SimulatingAttributor(Attributor):
    """Compares states by simulations from them. Subclasses choose the states.

    A simulation that is missing, because it was lost or because `sequential` hasn't played it yet, is never evidence:
    a verdict that it could change is unknown.
    """

    simulations: int = Field(default=1, gt=0)
    """Number of simulations from each state; with `decide: sprt`, the most that are used."""
    decide: Decide = "majority"
    """With several simulations, when the agent counts as able to solve a state: when `any` of them succeeds (as in
    the recipe `eef`), or the `majority`. `sprt` is a sequential test of each state, made for few simulations.
    `significant` compares the success rates of neighbours instead. The last two abstain if chance could explain the
    outcomes."""
    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    """For `significant` (Fisher's exact test, two-sided) and `sprt` (Wald's test): the highest chance of an error."""
    unsolved_rate: float = Field(default=0.1, gt=0.0, lt=1.0)
    """For `sprt`: the highest success rate of a state that counts as unsolved."""
    solved_rate: float = Field(default=0.5, gt=0.0, lt=1.0)
    """For `sprt`: the lowest success rate of a state that counts as solved."""

    @model_validator(mode="after")
    def _can_decide(self) -> Self:
        if self.unsolved_rate >= self.solved_rate:
            raise ValueError(
                f"unsolved_rate is {self.unsolved_rate} and solved_rate is {self.solved_rate}; expected unsolved_rate "
                "< solved_rate"
            )
        n = self.simulations
        if self.decide == "significant" and (p := fisher(0, n, n, n)) > self.alpha:
            raise ValueError(
                f"no difference is significant at alpha {self.alpha} with {n} simulations from each state: 0 against "
                f"{n} successes has p = {p:.2g}; raise simulations, or alpha"
            )
        if self.decide == "sprt" and (sprt(n, 0, self.rule) is None or sprt(0, n, self.rule) is None):
            raise ValueError(
                f"{n} simulations that all end alike don't decide a state at alpha {self.alpha}; raise simulations, or "
                "alpha"
            )
        return self

    @property
    def rule(self) -> Rule:
        """How outcomes become verdicts."""
        return Rule(self.decide, self.alpha, self.unsolved_rate, self.solved_rate)

    def decided(self, outcome: Outcome) -> bool:
        """Return whether further simulations from a state can't change the verdicts beside it."""
        if self.decide == "significant":
            return outcome.found >= outcome.asked
        return outcome.solved(self.rule) is not None

    async def outcomes(self, states: Sequence[int], simulate: Simulate) -> dict[int, Outcome]:
        """Simulate from several states at once."""
        found = await asyncio.gather(*(simulate(state, self.simulations) for state in states))
        return {state: outcome_of(self.simulations, runs, simulate) for state, runs in zip(states, found, strict=True)}

    def compared(self, outcomes: Mapping[int, Outcome], length: int) -> Iterable[Segment | StateValue]:
        """Return the values of states, and verdicts on the actions between neighbours.

        Actions after the last state are unknown.

        Args:
            outcomes: outcomes by state.
            length: number of actions of the trajectory.
        """
        states = sorted(outcomes)
        yield from (outcomes[state].value(state) for state in states if outcomes[state].found)
        for start, end in pairwise(states):
            before, after = outcomes[start], outcomes[end]
            yield segment_between(start, end, before, after, compare(before, after, self.rule))
        if states:
            tail = f"no state after state {states[-1]} was probed"
            yield Segment(start=states[-1], end=length, verdict=Verdict.UNKNOWN, reason=tail)
