"""Evidence of simulations: whether the agent can solve a state, and the verdict on the actions between two states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, hypot, log
from typing import Literal, NamedTuple

from eef_framework.evaluation.intervals import success_rate
from eef_framework.interfaces import Simulate
from eef_framework.records import Estimate, Evidence, Segment, StateValue, Trajectory, Verdict

Decide = Literal["any", "majority", "sprt", "significant", "gap"]

CLAIMS = (Verdict.BENEFICIAL, Verdict.HARMFUL)


class Rule(NamedTuple):
    """How outcomes become verdicts.

    Attributes:
        decide: `any`, `majority` and `sprt` decide each state for itself, then states are compared. `significant` and
            `gap` compare the two success rates. `significant` knows only beneficial, harmful and unknown: that two
            rates are equal can't be shown.
        alpha: for `significant` and `sprt`, the highest chance of an error.
        unsolved: for `sprt`, the highest success rate of a state that counts as unsolved.
        solved: for `sprt`, the lowest success rate of a state that counts as solved.
        gap: for `gap`, the largest difference of two rates that counts as none.
    """

    decide: Decide = "majority"
    alpha: float = 0.05
    unsolved: float = 0.1
    solved: float = 0.5
    gap: float = 0.0


class Played(tuple[Trajectory, ...]):
    """The simulations from a state that were played, of those that a strategy requested.

    Attributes:
        not_played: number of requested simulations that were left out by choice, as opposed to lost.
    """

    not_played: int = 0

    @classmethod
    def of(cls, runs: Iterable[Trajectory], not_played: int) -> Played:
        """Return some simulations, with the number of those left out."""
        played = cls(runs)
        played.not_played = not_played
        return played


@dataclass(frozen=True)
class Outcome:
    """Outcomes of the simulations from one state.

    Attributes:
        asked: number of simulations requested.
        found: number of simulations available.
        successes: number of those found that succeeded.
        tokens: number of tokens that the agent's model processed for them.
        not_played: number of requested simulations that `sequential` left out, or hasn't played yet.
    """

    asked: int
    found: int
    successes: int
    tokens: int = 0
    not_played: int = 0

    def __str__(self) -> str:
        absent = {"lost": self.lost, "not played": self.not_played}
        counts = ", ".join(f"{count} {why}" for why, count in absent.items() if count)
        return f"{self.successes} of {self.found}" + (f" ({counts})" if counts else "")

    @property
    def lost(self) -> int:
        """Number of simulations lost to infrastructure failures."""
        return self.asked - self.found - self.not_played

    @property
    def best(self) -> int:
        """Number of successes if all simulations that aren't available succeed."""
        return self.successes + self.asked - self.found

    @property
    def rate(self) -> Estimate:
        """Success rate with its Wilson interval."""
        return success_rate(self.successes, self.found)

    def solved(self, rule: Rule) -> bool | None:
        """Return whether the agent can solve the task from this state; None if that isn't decided.

        It is decided once the missing simulations can't change it: those that were lost or not played. With `sprt`,
        those that were lost: the test bounds errors whenever it ends (Wald 1945), however many aren't played.
        """
        missing = self.lost if rule.decide == "sprt" else self.asked - self.found
        n = self.found + missing
        decisions = {_decision(successes, n, rule) for successes in (self.successes, self.successes + missing)}
        return decisions.pop() if len(decisions) == 1 else None

    def value(self, state: int) -> StateValue:
        """Return the value of the state, with its interval."""
        rate = self.rate
        return StateValue(state=state, mean=rate.mean, low=rate.low, high=rate.high, n=rate.n)


def outcome_of(asked: int, batches: Sequence[Sequence[Trajectory]], simulate: Simulate) -> Outcome:
    """Return the outcomes of simulations that count for one state.

    Args:
        asked: number of simulations requested.
        batches: the simulations; each batch is the answer to one request.
        simulate: knows which of them succeeded.
    """
    runs = [run for batch in batches for run in batch]
    return Outcome(asked, len(runs), sum(map(simulate.succeeded, runs)), tokens_of(runs), sum(map(not_played, batches)))


def not_played(runs: Sequence[Trajectory]) -> int:
    """Return the number of requested simulations that were left out by choice; 0 except with `sequential`."""
    return runs.not_played if isinstance(runs, Played) else 0


def tokens_of(runs: Iterable[Trajectory]) -> int:
    """Return the number of tokens that the agent's model processed in its own steps of simulations."""
    own = (step.response for run in runs for step in run.own_steps)
    return sum(response.computed_tokens for response in own if response is not None)


def compare(before: Outcome, after: Outcome, rule: Rule) -> Verdict:
    """Return the verdict on the actions between two states (arXiv 2504.13145, phase 3).

    It is the same whatever the outcomes of the missing simulations would have been; otherwise it is unknown. With
    `sprt`, missing are those that were lost, but not those that weren't played.
    """
    if rule.decide == "gap":
        return _by_gap(before, after, rule.gap)
    if rule.decide == "significant":
        rise = after.successes * before.asked > before.best * after.asked
        if rise and fisher(before.best, before.asked, after.successes, after.asked) <= rule.alpha:
            return Verdict.BENEFICIAL
        fall = before.successes * after.asked > after.best * before.asked
        if fall and fisher(before.successes, before.asked, after.best, after.asked) <= rule.alpha:
            return Verdict.HARMFUL
        return Verdict.UNKNOWN
    first, second = before.solved(rule), after.solved(rule)
    if first is None or second is None:
        return Verdict.UNKNOWN
    if first == second:
        return Verdict.NEUTRAL
    return Verdict.BENEFICIAL if second else Verdict.HARMFUL


def segment_between(start: int, end: int, before: Outcome, after: Outcome, rule: Rule) -> Segment:
    """Return the segment between two states, with its verdict and what that rests on."""
    credit = difference(before, after)
    return Segment(
        start=start,
        end=end,
        verdict=compare(before, after, rule),
        credit=credit.mean if before.found and after.found else None,
        evidence=Evidence(
            simulations=credit.n,
            successes=before.successes + after.successes,
            low=credit.low,
            high=credit.high,
            tokens=before.tokens + after.tokens,
        ),
        reason=f"agent: {before} from state {start}, {after} from state {end}",
    )


def difference(before: Outcome, after: Outcome) -> Estimate:
    """Return the success rate after minus the one before, with a 95 % interval.

    The interval combines the two Wilson intervals (Newcombe 1998, method 10), so it works for few simulations.
    """
    first, second = before.rate, after.rate
    mean = second.mean - first.mean
    low = mean - hypot(second.mean - second.low, first.high - first.mean)
    high = mean + hypot(second.high - second.mean, first.mean - first.low)
    if not (before.found and after.found):
        low, high = -1.0, 1.0
    return Estimate(mean=mean, low=max(-1.0, low), high=min(1.0, high), n=before.found + after.found)


def fisher(successes: int, n: int, other_successes: int, other_n: int) -> float:
    """Return the two-sided p-value of Fisher's exact test for two success rates; 1.0 where either has no trials."""
    total, good = n + other_n, successes + other_successes
    # The numbers of ways are integers, so that equally improbable tables compare as equal.
    ways = {k: comb(n, k) * comb(other_n, good - k) for k in range(max(0, good - other_n), min(n, good) + 1)}
    return sum(way for way in ways.values() if way <= ways[successes]) / comb(total, good)


def sprt(successes: int, failures: int, rule: Rule) -> bool | None:
    """Return the decision of the sequential probability ratio test (Wald 1945); None if it isn't over.

    A state with a success rate of at least `rule.solved` is taken for unsolved with a probability of about
    `rule.alpha` at most, one with at most `rule.unsolved` for solved likewise. Between the two, either may come out.
    """
    ratio = successes * log(rule.solved / rule.unsolved) + failures * log((1 - rule.solved) / (1 - rule.unsolved))
    bound = log((1 - rule.alpha) / rule.alpha)
    return None if abs(ratio) < bound - 1e-9 else ratio > 0


def _decision(successes: int, n: int, rule: Rule) -> bool | None:
    if rule.decide == "sprt":
        return sprt(successes, n - successes, rule)
    return 2 * successes > n if rule.decide == "majority" else successes > 0


def _by_gap(before: Outcome, after: Outcome, gap: float) -> Verdict:
    least = after.successes / after.asked - before.best / before.asked
    most = after.best / after.asked - before.successes / before.asked
    if least > gap + 1e-9:
        return Verdict.BENEFICIAL
    if most < -gap - 1e-9:
        return Verdict.HARMFUL
    return Verdict.NEUTRAL if least >= -gap - 1e-9 and most <= gap + 1e-9 else Verdict.UNKNOWN
