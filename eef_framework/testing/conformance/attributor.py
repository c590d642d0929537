"""Checks of attributors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from eef_framework.errors import AttributorFailure
from eef_framework.evaluation.formatting import plural
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Attributor
from eef_framework.records import Attribution, Trajectory, Verdict
from eef_framework.rollout.attribution import attribution_by
from eef_framework.seeds import derive
from eef_framework.testing.conformance.processes import differs_in_another_process
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks
from eef_framework.testing.simulate import Outcome, ScriptedSimulate, demonstration

LENGTHS = (3, 1, 2, 7, 12, 25)
"""Lengths of the tested trajectories, in actions."""

_LOST = (
    "simulate() may return fewer simulations than requested, and success_rate() None: a state without simulations is "
    "neither good nor bad."
)


@dataclass(frozen=True)
class AttributorContext:
    """Input of the checks of an attributor."""

    attributor: Attributor
    seed: int = 0

    def outcome(self, state: int, index: int) -> bool:
        """Return the outcome of a simulation, an arbitrary function of state and index."""
        return bool(derive(self.seed, "outcome", state, index) & 1)

    def lossy_outcome(self, state: int, index: int) -> bool | None:
        """Return the outcome of a simulation; None for some, which are lost."""
        lost = derive(self.seed, "lost", state, index) % 3 == 0
        return None if lost else self.outcome(state, index)

    def cases(self) -> Iterator[tuple[Trajectory, ScriptedSimulate, Attribution]]:
        """Attribute a trajectory of each length. Yield the trajectory, its simulations and the result."""
        for length in LENGTHS:
            yield self.attribute(length, self.outcome)

    def attribute(
        self, length: int, outcome: Outcome, waiting: int = 0
    ) -> tuple[Trajectory, ScriptedSimulate, Attribution]:
        """Attribute one trajectory."""
        trajectory = demonstration(length)
        simulate = ScriptedSimulate(trajectory, outcome, derive(waiting, "waiting", length))
        try:
            found = run_coroutine(attribution_by(self.attributor, trajectory, simulate))
        except Exception as error:
            error.add_note(f"with {_case(trajectory)}")
            raise
        return trajectory, simulate, found


def check_attributor(attributor: Attributor, seed: int = 0) -> None:
    """Check that an attributor keeps its contract, on made-up trajectories and outcomes.

    Args:
        attributor: the component to check.
        seed: of the outcomes.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
    """
    require(f"attributor {attributor.component_name()!r}", attributor_violations(attributor, seed))


def attributor_violations(attributor: Attributor, seed: int = 0) -> list[Violation]:
    """Return the violations of an attributor's contract; see `check_attributor`."""
    context = AttributorContext(attributor, seed)
    violations = run_checks([calls_are_awaited, results_are_segments], context)
    return violations or run_checks(CHECKS, context)


def calls_are_awaited(context: AttributorContext) -> Violation | None:
    """attribute() awaits what it asks of `simulate`."""
    for length in LENGTHS:
        try:
            context.attribute(length, context.outcome)
        except (Exception, SystemExit) as failure:
            if not isinstance(failure, AttributorFailure) or failure.code != "not-awaited":
                return None  # results_are_segments reports it
            expected = f"`await {failure.details['call']}(...)`"
            return Violation(
                rule_of(calls_are_awaited), _case(demonstration(length)), expected, failure.message, failure.fix
            )
    return None


def results_are_segments(context: AttributorContext) -> Violation | None:
    """attribute() returns segments of the trajectory that don't overlap, and optionally values of its states."""
    for length in LENGTHS:
        try:
            context.attribute(length, context.outcome)
        except AttributorFailure as failure:
            case, expected = _case(demonstration(length)), f"segments and values within {length} actions"
            return Violation(rule_of(results_are_segments), case, expected, failure.message, failure.fix)
    return None


def scores_are_announced(context: AttributorContext) -> Violation | None:
    """needs_scores is true if attribute() calls simulate.score(), so that a run finds out before it starts."""
    for trajectory, simulate, _ in context.cases():
        if simulate.scored and not context.attributor.needs_scores:
            rule, fix = rule_of(scores_are_announced), "Override the property `needs_scores` and return True."
            return Violation(rule, _case(trajectory), "needs_scores True", "needs_scores False", fix)
    return None


def order_does_not_matter(context: AttributorContext) -> Violation | None:
    """The result depends only on the outcomes, not on the order in which simulations end, nor on earlier calls."""
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
                    "Collect results in order of state, as asyncio.gather does, and keep no state between calls.",
                )
    return None


def lost_simulations_are_no_evidence(context: AttributorContext) -> Violation | None:
    """Simulations that are lost to infrastructure errors aren't evidence."""
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
                _LOST,
            )
    for length, every in itertools.product(LENGTHS, (2, 3)):
        trajectory, _, whole = context.attribute(length, lambda state, index: True)
        _, _, lossy = context.attribute(length, partial(_lost_at, every))
        harmful = _harmful(lossy) - _harmful(whole)
        if harmful:
            return Violation(
                rule_of(lost_simulations_are_no_evidence),
                f"{_case(trajectory)}, all simulations of every {every}. state lost, all others succeed",
                "no verdict harmful",
                f"harmful: actions {quoted(sorted(harmful))}",
                _LOST,
            )
    return None


def some_lost_simulations_are_survived(context: AttributorContext) -> Violation | None:
    """attribute() accepts fewer simulations than it requested."""
    for length in LENGTHS:
        context.attribute(length, context.lossy_outcome)
    return None


def every_simulation_counts(context: AttributorContext) -> Violation | None:
    """If attribute() requests several simulations from a state, it looks at more than the first of them."""
    several: tuple[int, int] | None = None
    looks_at_first = False

    def none(state: int, index: int) -> bool:
        return False

    def every(state: int, index: int) -> bool:
        return True

    def alternate(state: int, index: int) -> bool:
        return bool(state % 2)

    def result(length: int, flipped: bool, others: Outcome) -> tuple[Attribution, list[tuple[int, int]]]:
        nonlocal several
        first = context.outcome
        _, simulate, found = context.attribute(
            length, lambda k, index: others(k, index) if index else first(k, 0) != flipped
        )
        several = several or next(((state, n) for state, n in simulate.asked if n > 1), None)
        return found, sorted(simulate.asked)

    for length in LENGTHS:
        expected = result(length, flipped=False, others=none)
        # A strategy that compares states may miss a change that is the same in all of them.
        if any(result(length, flipped=False, others=others) != expected for others in (every, alternate)):
            return None
        looks_at_first |= result(length, flipped=True, others=none) != expected
    if several is None or not looks_at_first:  # a control may look at none of them
        return None
    return Violation(
        rule_of(every_simulation_counts),
        f"{several[1]} simulations from state {several[0]}",
        "another result if all but the first succeed, instead of failing",
        "the same result",
        "Look at all simulations that simulate(state, n) returns, or request one.",
    )


def _lost_at(every: int, state: int, index: int) -> bool | None:
    """Return None for all simulations of some states; all others succeed."""
    return None if state % every == 1 else True


def _harmful(attribution: Attribution) -> set[int]:
    """Return the actions with the verdict harmful."""
    segments = (segment for segment in attribution.segments if segment.verdict is Verdict.HARMFUL)
    return {action for segment in segments for action in range(segment.start, segment.end)}


def equal_in_another_process(context: AttributorContext) -> Violation | None:
    """The result is the same in another process."""
    return differs_in_another_process(equal_in_another_process, context.attributor, _attributed, context.seed)


def plans_are_kept(context: AttributorContext) -> Violation | None:
    """attribute() simulates what planned_simulations() planned, and no more than most_simulations() allows."""
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
                "Use the same states in planned_simulations() and attribute(), or return None from the former.",
            )
        most = context.attributor.most_simulations(len(trajectory.steps))
        if most is not None and sum(asked.values()) > most:
            return Violation(
                rule_of(plans_are_kept),
                _case(trajectory),
                f"at most {most} simulations",
                f"{sum(asked.values())} simulations: {quoted(asked)}",
                "Increase what most_simulations() returns, or let it return None.",
            )
    return None


CHECKS = (
    scores_are_announced,
    order_does_not_matter,
    lost_simulations_are_no_evidence,
    some_lost_simulations_are_survived,
    every_simulation_counts,
    plans_are_kept,
    equal_in_another_process,
)


def _attributed(attributor: Attributor, seed: int) -> list[list[str]]:
    """Return the verdicts on trajectories of all lengths."""
    return [[trajectory.id, _verdicts(found)] for trajectory, _, found in AttributorContext(attributor, seed).cases()]


def _case(trajectory: Trajectory) -> str:
    return f"a trajectory of {plural(len(trajectory.steps), 'action')}"


def _verdicts(attribution: Attribution) -> str:
    return " ".join(attribution.verdict(action).value for action in range(attribution.length))
