"""Evidence of simulations: whether a state counts as solved, and the verdict on the actions between two states."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Literal

from eef_framework.records import Verdict

Decide = Literal["any", "majority", "significant"]


@dataclass(frozen=True)
class Outcome:
    """Outcomes of the simulations from one state.

    Attributes:
        asked: number of simulations requested.
        found: number of simulations available; the others were lost to infrastructure failures.
        successes: number of those found that succeeded.
    """

    asked: int
    found: int
    successes: int

    def __str__(self) -> str:
        lost = self.asked - self.found
        return f"{self.successes} of {self.found}" + (f" ({lost} lost)" if lost else "")

    def solved(self, decide: Decide) -> bool | None:
        """Return whether the agent can solve the task from this state; None if lost simulations could decide it."""
        worst, best = self.successes, self.successes + self.asked - self.found
        verdicts = {_enough(successes, self.asked, decide) for successes in (worst, best)}
        return verdicts.pop() if len(verdicts) == 1 else None


def judge(before: Outcome, after: Outcome, decide: Decide, alpha: float) -> Verdict:
    """Return the verdict on the actions between two states (arXiv 2504.13145, phase 3).

    Args:
        before: simulations from the state before the actions.
        after: simulations from the state after them.
        decide: `any` and `majority` decide each state for itself, then compare. `significant` compares the two
            success rates, and knows only beneficial, harmful and unknown: that two rates are equal can't be shown.
        alpha: for `significant`, how improbable a difference has to be if both rates were equal.
    """
    if decide == "significant":
        if fisher(before.successes, before.found, after.successes, after.found) > alpha:
            return Verdict.UNKNOWN
        rise = after.successes * before.found - before.successes * after.found
        return Verdict.BENEFICIAL if rise > 0 else Verdict.HARMFUL
    first, second = before.solved(decide), after.solved(decide)
    if first is None or second is None:
        return Verdict.UNKNOWN
    if first == second:
        return Verdict.NEUTRAL
    return Verdict.BENEFICIAL if second else Verdict.HARMFUL


def fisher(successes: int, n: int, other_successes: int, other_n: int) -> float:
    """Return the two-sided p-value of Fisher's exact test for two success rates; 1.0 where either has no trials."""
    total, good = n + other_n, successes + other_successes
    # The numbers of ways are integers, so that equally improbable tables compare as equal.
    ways = {k: comb(n, k) * comb(other_n, good - k) for k in range(max(0, good - other_n), min(n, good) + 1)}
    return sum(way for way in ways.values() if way <= ways[successes]) / comb(total, good)


def _enough(successes: int, asked: int, decide: Decide) -> bool:
    return 2 * successes > asked if decide == "majority" else successes > 0
