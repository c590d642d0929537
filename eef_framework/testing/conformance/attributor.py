"""Does an attributor keep its contract?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Attributor
from eef_framework.records import Attribution, Trajectory, Verdict
from eef_framework.seeds import derive
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks
from eef_framework.testing.simulate import Outcome, ScriptedSimulate, demonstration

LENGTHS = (0, 1, 2, 3, 7, 12, 25)
"""Lengths of the trajectories it is tested on, in actions."""


@dataclass(frozen=True)
class AttributorSubject:
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
        return trajectory, simulate, run_coroutine(self.attributor.attribute(trajectory, simulate))


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
    return run_checks(CHECKS, AttributorSubject(attributor, seed))


def attributions_fit(subject: AttributorSubject) -> Violation | None:
    """An attribution belongs to the trajectory it was asked for."""
    for trajectory, _, attribution in subject.cases():
        expected = f"an Attribution of trajectory {trajectory.id!r} with length {len(trajectory.steps)}"
        if not isinstance(attribution, Attribution):
            actual = f"{type(attribution).__name__} {quoted(attribution)}"
        elif (attribution.trajectory, attribution.length) == (trajectory.id, len(trajectory.steps)):
            continue
        else:
            actual = f"one of trajectory {attribution.trajectory!r} with length {attribution.length}"
        fix = "Return Attribution(trajectory=trajectory.id, length=len(trajectory.steps), ...)."
        return Violation(rule_of(attributions_fit), _case(trajectory), expected, actual, fix)
    return None


def attributions_are_signed(subject: AttributorSubject) -> Violation | None:
    """An attribution says which method made it, or leaves that to the run, but never names another."""
    for trajectory, _, attribution in subject.cases():
        name = subject.attributor.component_name()
        if attribution.method not in ("", name):  # the run fills in what is left empty
            return Violation(
                rule_of(attributions_are_signed),
                _case(trajectory),
                f"method={name!r} or none",
                f"method={attribution.method!r}",
                "Set Attribution(method=self.component_name()).",
            )
    return None


def order_does_not_matter(subject: AttributorSubject) -> Violation | None:
    """The result depends on the outcomes, not on which simulation ends first or what else is attributed."""
    for length in LENGTHS:
        trajectory, _, first = subject.attribute(length, subject.outcome)
        for waiting in (1, 2, 3):
            _, _, again = subject.attribute(length, subject.outcome, waiting)
            if again != first:
                return Violation(
                    rule_of(order_does_not_matter),
                    _case(trajectory),
                    f"verdicts {_verdicts(first)}",
                    f"verdicts {_verdicts(again)}",
                    "Collect results in order of state, as asyncio.gather does, and keep nothing between calls.",
                )
    return None


def lost_simulations_are_no_evidence(subject: AttributorSubject) -> Violation | None:
    """Simulations that were lost to the infrastructure are never evidence."""
    for length in LENGTHS:
        trajectory, simulate, attribution = subject.attribute(length, lambda state, index: None)
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


def some_lost_simulations_are_survived(subject: AttributorSubject) -> Violation | None:
    """Fewer simulations than were asked for are no reason to fail."""
    for length in LENGTHS:
        subject.attribute(length, subject.lossy_outcome)
    return None


def plans_are_kept(subject: AttributorSubject) -> Violation | None:
    """What was planned for a length is what is simulated."""
    for trajectory, simulate, _ in subject.cases():
        plan = subject.attributor.planned(len(trajectory.steps))
        asked: dict[int, int] = {}
        for state, n in simulate.asked:
            asked[state] = max(n, asked.get(state, 0))
        if plan is not None and plan != asked:
            return Violation(
                rule_of(plans_are_kept),
                _case(trajectory),
                f"simulations {quoted(plan)}",
                f"simulations {quoted(asked)}",
                "Let planned() and attribute() take their states from one method, or return None from planned().",
            )
    return None


def probes_are_what_was_simulated(subject: AttributorSubject) -> Violation | None:
    """Probes name simulations that took place from their state, and count those that succeeded."""
    for trajectory, simulate, attribution in subject.cases():
        for probe in attribution.probes:
            given = [simulate.given.get(run) for run in probe.simulations]
            from_there = [run for run in given if run is not None and len(run.steps) == probe.state]
            successes = sum(simulate.succeeded(run) for run in from_there)
            if len(from_there) != len(given) or successes != probe.successes:
                return Violation(
                    rule_of(probes_are_what_was_simulated),
                    f"{_case(trajectory)}, state {probe.state}",
                    f"ids of simulations from this state, with {successes} successes",
                    f"{quoted(list(probe.simulations))} with {probe.successes} successes",
                    "Make a Probe of each state's own simulations, and count with simulate.succeeded().",
                )
    return None


CHECKS = (
    attributions_fit,
    attributions_are_signed,
    order_does_not_matter,
    lost_simulations_are_no_evidence,
    some_lost_simulations_are_survived,
    plans_are_kept,
    probes_are_what_was_simulated,
)


def _case(trajectory: Trajectory) -> str:
    return f"a trajectory of {len(trajectory.steps)} actions"


def _verdicts(attribution: Attribution) -> str:
    return " ".join(attribution.verdict(action).value for action in range(attribution.length))
