"""Does an attributor keep its contract?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eef_framework.errors import AttributorFailure
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Attributor
from eef_framework.records import Attribution, Trajectory, Verdict
from eef_framework.rollout.attribution import attribution_of
from eef_framework.seeds import derive
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks
from eef_framework.testing.simulate import Outcome, ScriptedSimulate, demonstration

LENGTHS = (0, 1, 2, 3, 7, 12, 25)
"""Lengths of the trajectories it is tested on, in actions."""


@dataclass(frozen=True)
class AttributorContext:
    """What the checks of an attributor look at."""

    attributor: Attributor
    seed: int = 0

    def outcome(self, state: int, index: int) -> bool:
        """Decide a simulation: any function of state and index will do."""
        return bool(derive(self.seed, "outcome", state, index) & 1)

    def lossy_outcome(self, state: int, index: int) -> bool | None:
        """Decide a simulation, and lose some."""
        lost = derive(self.seed, "lost", state, index) % 3 == 0
        return None if lost else self.outcome(state, index)

    def cases(self) -> Iterator[tuple[Trajectory, ScriptedSimulate, Attribution]]:
        """Attribute a trajectory of each length; yield it, what was simulated, and the result."""
        for length in LENGTHS:
            yield self.attribute(length, self.outcome)

    def attribute(
        self, length: int, outcome: Outcome, waiting: int = 0
    ) -> tuple[Trajectory, ScriptedSimulate, Attribution]:
        """Attribute one trajectory."""
        trajectory = demonstration(length)
        simulate = ScriptedSimulate(trajectory, outcome, derive(waiting, "waiting", length))
        given = run_coroutine(self.attributor.attribute(trajectory, simulate))
        return trajectory, simulate, attribution_of(trajectory, given)


def check_attributor(attributor: Attributor, seed: int = 0) -> None:
    """Check that an attributor keeps its contract, on made-up trajectories and outcomes.

    Args:
        attributor: what to check.
        seed: for the outcomes.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
    """
    require(f"attributor {attributor.component_name()!r}", attributor_violations(attributor, seed))


def attributor_violations(attributor: Attributor, seed: int = 0) -> list[Violation]:
    """Return in which ways an attributor doesn't keep its contract; see `check_attributor`."""
    return run_checks(CHECKS, AttributorContext(attributor, seed))


def results_are_segments(context: AttributorContext) -> Violation | None:
    """The result is segments of the trajectory without overlap, and perhaps values of its states."""
    for trajectory in map(demonstration, LENGTHS):
        given = run_coroutine(context.attributor.attribute(trajectory, ScriptedSimulate(trajectory, context.outcome)))
        try:
            attribution_of(trajectory, given)
        except AttributorFailure as failure:
            expected = f"segments and values within {len(trajectory.steps)} actions"
            return Violation(rule_of(results_are_segments), _case(trajectory), expected, failure.message, failure.fix)
    return None


def order_does_not_matter(context: AttributorContext) -> Violation | None:
    """The result depends on the outcomes, not on which simulation ends first or what else is attributed."""
    for length in LENGTHS:
        trajectory, _, first = context.attribute(length, context.outcome)
        for waiting in (1, 2, 3):
            _, _, again = context.attribute(length, context.outcome, waiting)
            if again != first:
                return Violation(
                    rule_of(order_does_not_matter),
                    _case(trajectory),
                    f"verdicts {_verdicts(first)}",
                    f"verdicts {_verdicts(again)}",
                    "Collect results in order of state, as asyncio.gather does, and keep nothing between calls.",
                )
    return None


def lost_simulations_are_no_evidence(context: AttributorContext) -> Violation | None:
    """Simulations that were lost to the infrastructure are never evidence."""
    for length in LENGTHS:
        trajectory, simulate, attribution = context.attribute(length, lambda state, index: None)
        judged = [segment for segment in attribution.segments if segment.verdict is not Verdict.UNKNOWN]
        if simulate.asked and judged:
            segment = judged[0]
            return Violation(
                rule_of(lost_simulations_are_no_evidence),
                f"{_case(trajectory)}, actions {segment.start} to {segment.end - 1}, all simulations lost",
                "verdict unknown",
                f"verdict {segment.verdict.value}",
                "Compare the number of simulations returned with the number asked for; unknown where it matters.",
            )
    return None


def some_lost_simulations_are_survived(context: AttributorContext) -> Violation | None:
    """Fewer simulations than were asked for are no reason to fail."""
    for length in LENGTHS:
        context.attribute(length, context.lossy_outcome)
    return None


def plans_are_kept(context: AttributorContext) -> Violation | None:
    """What was planned for a length is what is simulated."""
    for trajectory, simulate, _ in context.cases():
        plan = context.attributor.planned_simulations(len(trajectory.steps))
        asked: dict[int, int] = {}
        for state, n in simulate.asked:
            asked[state] = max(n, asked.get(state, 0))
        if plan is not None and plan != asked:
            return Violation(
                rule_of(plans_are_kept),
                _case(trajectory),
                f"simulations {quoted(plan)}",
                f"simulations {quoted(asked)}",
                "Let planned_simulations() and attribute() take their states from one method, or plan nothing (None).",
            )
    return None


CHECKS = (
    results_are_segments,
    order_does_not_matter,
    lost_simulations_are_no_evidence,
    some_lost_simulations_are_survived,
    plans_are_kept,
)


def _case(trajectory: Trajectory) -> str:
    return f"a trajectory of {len(trajectory.steps)} actions"


def _verdicts(attribution: Attribution) -> str:
    return " ".join(attribution.verdict(action).value for action in range(attribution.length))
