"""Base classes of strategies that compare states by the success of episodes that start in or pass through them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from eef_attribution.evidence import Decide, Outcome, Rule, fisher, outcome_of, segment_between, sprt, tokens_of
from eef_attribution.visits import visitors_of
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Segment, StateValue, Trajectory, Verdict


class ComparingAttributor(Attributor):
    """Compares the outcomes of states. Subclasses choose the states, and where outcomes come from."""

    decide: Decide = "majority"
    """When the agent counts as able to solve a state: when `any` of its episodes succeeds (as in the recipe `eef`), or
    the `majority`. `sprt` is a sequential test of each state, made for few episodes. `significant` and `gap` compare
    the success rates of neighbours instead. `sprt` and `significant` abstain if chance could explain the outcomes."""
    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    """For `significant` (Fisher's exact test, two-sided) and `sprt` (Wald's test): the highest chance of an error."""
    unsolved_rate: float = Field(default=0.1, gt=0.0, lt=1.0)
    """For `sprt`: the highest success rate of a state that counts as unsolved."""
    solved_rate: float = Field(default=0.5, gt=0.0, lt=1.0)
    """For `sprt`: the lowest success rate of a state that counts as solved."""
    gap: float = Field(default=0.0, ge=0.0, lt=1.0)
    """For `gap`: the largest difference of two success rates that counts as none."""

    @model_validator(mode="after")
    def _rates_differ(self) -> Self:
        if self.unsolved_rate >= self.solved_rate:
            raise ValueError(
                f"unsolved_rate is {self.unsolved_rate} and solved_rate is {self.solved_rate}; expected unsolved_rate "
                "< solved_rate"
            )
        return self

    @property
    def rule(self) -> Rule:
        """How outcomes become verdicts."""
        return Rule(self.decide, self.alpha, self.unsolved_rate, self.solved_rate, self.gap)

    def decided(self, outcome: Outcome) -> bool:
        """Return whether further episodes from a state can't change the verdicts beside it."""
        if self.decide in ("significant", "gap"):
            return outcome.found >= outcome.asked
        return outcome.solved(self.rule) is not None

    async def known(self, trajectory: Trajectory, simulate: Simulate) -> Mapping[int, Sequence[Trajectory]]:
        """Return the episodes that count beside simulations, by state; none by default."""
        return {}

    def compared(self, outcomes: Mapping[int, Outcome], length: int) -> Iterable[Segment | StateValue]:
        """Return the values of states, and verdicts on the actions between neighbours.

        Actions before the first and after the last state are unknown.

        Args:
            outcomes: outcomes by state.
            length: number of actions of the trajectory.
        """
        states = sorted(outcomes)
        yield from (outcomes[state].value(state) for state in states if outcomes[state].found)
        for start, end in pairwise(states):
            yield segment_between(start, end, outcomes[start], outcomes[end], self.rule)
        if states and states[-1] < length:
            tail = f"no state after state {states[-1]} was probed"
            yield Segment(start=states[-1], end=length, verdict=Verdict.UNKNOWN, reason=tail)


class SimulatingAttributor(ComparingAttributor):
    """Compares states by simulations from them. Subclasses choose the states.

    A simulation that is missing, because it was lost or because `sequential` hasn't played it yet, is never evidence:
    a verdict that it could change is unknown.
    """

    one_state: ClassVar[bool] = False
    """Whether the strategy decides single states, so that rules that compare two of them can't be used."""

    simulations: int = Field(default=1, gt=0)
    """Number of simulations from each state; with `decide: sprt`, the most that are used."""
    prior: Literal["none", "anchor"] = "none"
    """`anchor`: recorded episodes of the agent that came by an equal state count as simulations from it; only the
    others are played."""

    @model_validator(mode="after")
    def _can_decide(self) -> Self:
        n = self.simulations
        if self.one_state and self.decide in ("significant", "gap"):
            raise ValueError(f"decide is {self.decide!r}, which compares two states; expected any, majority or sprt")
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

    async def known(self, trajectory: Trajectory, simulate: Simulate) -> Mapping[int, Sequence[Trajectory]]:
        """Return the recorded episodes that count as simulations, by state."""
        if self.prior == "none":
            return {}
        found = await visitors_of(trajectory, simulate)
        # The episodes that start in state 0 are the simulations from there: they don't count twice.
        return {state: episodes[: self.simulations] for state, episodes in found.items() if state}

    async def outcomes(self, trajectory: Trajectory, states: Sequence[int], simulate: Simulate) -> dict[int, Outcome]:
        """Simulate from several states at once."""
        known = await self.known(trajectory, simulate)
        missing = {state: self.simulations - len(known.get(state, ())) for state in states}
        found = await asyncio.gather(*(simulate(state, n) if n else _nothing() for state, n in missing.items()))
        return {
            state: replace(outcome_of(self.simulations, [known.get(state, ()), runs], simulate), tokens=tokens_of(runs))
            for state, runs in zip(missing, found, strict=True)
        }


async def _nothing() -> Sequence[Trajectory]:
    return ()
