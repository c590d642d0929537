"""Attribution of single demonstrations, and the number of simulations it needs."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import index

from eef_framework.config.schema import Explore
from eef_framework.errors import AttributorFailure, EefWarning, PolicyFailure, boundary
from eef_framework.interfaces import Attributor
from eef_framework.pipeline.episodes import MOST_ERRORS
from eef_framework.records import Attribution, SuccessRule, Trajectory, Verdict
from eef_framework.rollout import Simulations
from eef_framework.rollout.attribution import attribute_with
from eef_framework.rollout.simulate import TrajectorySimulate


async def try_to_attribute(
    attributor: Attributor, trajectory: Trajectory, simulations: Simulations, failed: list[AttributorFailure]
) -> Attribution:
    """Attribute one trajectory. Any failure of the attributor is recorded, and leaves all its actions unknown.

    Args:
        attributor: the attributor.
        trajectory: the trajectory to attribute.
        simulations: source of the agent's simulations.
        failed: failures are appended to it.

    Raises:
        PolicyFailure: the agent can't answer, or not what the attributor asks of it.
    """
    name, simulate = attributor.component_name(), TrajectorySimulate(simulations, trajectory)
    try:
        with boundary(AttributorFailure, attributor, f"attributing {trajectory.id!r}"):
            return await attribute_with(attributor, trajectory, simulate)
    except PolicyFailure as failure:
        if failure.code == "scoring-unsupported":
            failure.message = f"attributor {name!r} needs the agent's log-probabilities: {failure.message}"
            failure.details["attributor"] = name
        raise
    except AttributorFailure as failure:
        failed.append(failure)
        length = len(trajectory.steps)
        return Attribution(trajectory=trajectory.id, length=length, method=name, error=str(failure), cost=simulate.cost)


def check_attributions(attributor: Attributor, attributed: int, failed: Sequence[AttributorFailure]) -> None:
    """Stop if too many attributions failed; warn if a few did.

    Raises:
        AttributorFailure: too many failed; the cause of the first is chained.
    """
    if failed and len(failed) > MOST_ERRORS * attributed:
        raise AttributorFailure(
            f"attributor {attributor.component_name()!r} failed on {len(failed)} of {attributed} trajectories; first: "
            f"{failed[0]}",
            "`eef check` tries an attributor on small cases.",
            code="attributions-failed",
            failed=len(failed),
            trajectories=attributed,
            first=failed[0].code,
            where=failed[0].details.get("where", ""),
        ) from failed[0]
    if failed:
        message = EefWarning(
            f"attributor {attributor.component_name()!r} failed on {len(failed)} of {attributed} trajectories, which "
            f"have no verdicts; first: {failed[0]}. Once the cause is fixed, repeat the command to attribute them "
            "again; if it completed this phase of a run, use `eef repair` on the phase's attributions.jsonl before.",
            code="some-attributions-failed",
            failed=len(failed),
            trajectories=attributed,
            first=failed[0].code,
        )
        warnings.warn(message, stacklevel=3)


def warn_of_unknown(attributions: Sequence[Attribution]) -> None:
    """Warn if no action has a verdict, as with the control `none`: rules that go by verdicts then choose nothing."""
    known = (segment for row in attributions for segment in row.segments if segment.verdict is not Verdict.UNKNOWN)
    if attributions and next(known, None) is None:
        name, count = attributions[0].method, len(attributions)
        reasons = Counter(s.reason for row in attributions for s in row.segments if s.reason)
        often = reasons.most_common(1)[0][0] if reasons else "none was given"
        message = EefWarning(
            f"attributor {name!r} gave no verdict on any action of {count} trajectories: selection treats all of these "
            f"actions as unknown. Most frequent reason: {often}. If that isn't intended, `eef check` tries the "
            "attributor on small cases.",
            code="verdicts-unknown",
            attributor=name,
            trajectories=count,
            reason=often,
        )
        warnings.warn(message, stacklevel=3)


def to_attribute(demonstrations: Sequence[Trajectory], rule: SuccessRule, settings: Explore) -> list[Trajectory]:
    """Return the demonstrations to attribute: those with actions that the settings select."""
    return [
        trajectory
        for trajectory in demonstrations
        if trajectory.steps
        and not trajectory.lost
        and not (settings.attribute == "failures" and rule.holds(trajectory))
    ]


def plan_of(attributor: Attributor, length: int) -> dict[int, int] | None:
    """Return the number of simulations per state that a trajectory needs; None if it isn't known in advance.

    Raises:
        AttributorFailure: the attributor raised, or returned something else (`not-a-plan`).
    """
    name = attributor.component_name()
    with boundary(AttributorFailure, attributor, f"planning {length} actions"):
        plan = attributor.planned_simulations(length)
    try:
        return None if plan is None else {index(state): index(n) for state, n in plan.items()}
    except (AttributeError, TypeError, ValueError) as cause:
        raise AttributorFailure(
            f"planned_simulations({length}) of attributor {name!r} returned {plan!r:.80}, expected the number of "
            "simulations by state",
            "Return a dict such as {1: 2, 3: 2}, or None if the states depend on outcomes.",
            code="not-a-plan",
            attributor=name,
        ) from cause


def beyond_initial(plan: Mapping[int, int], initial: int) -> int:
    """Return the number of simulations of a plan, without the first `initial` ones from the initial state."""
    return sum(max(0, n - initial) if state == 0 else n for state, n in plan.items())


def most_of(attributor: Attributor, length: int, initial: int) -> int | None:
    """Return the maximum number of simulations that a trajectory takes; None if it isn't known in advance.

    Args:
        attributor: the attributor.
        length: number of actions of the trajectory.
        initial: simulations from the initial state that are played anyway. Those that are planned don't count.

    Raises:
        AttributorFailure: the attributor raised.
    """
    plan = plan_of(attributor, length)
    if plan is not None:
        return beyond_initial(plan, initial)
    with boundary(AttributorFailure, attributor, f"planning {length} actions"):
        return attributor.most_simulations(length)


def planned_by_task(demonstrations: Sequence[Trajectory], attributor: Attributor, settings: Explore) -> dict[str, int]:
    """Return the number of simulations that an attributor plans per task, beyond those from initial states.

    Raises:
        AttributorFailure: the attributor doesn't know in advance.
    """
    initial: dict[str, int] = {}  # shared by a task's demonstrations
    later: dict[str, int] = {}
    for trajectory in demonstrations:
        planned = plan_of(attributor, len(trajectory.steps))
        if planned is None:
            raise AttributorFailure(
                f"attributor {attributor.component_name()!r} doesn't know beforehand how many simulations it takes",
                "Give it a `planned_simulations`.",
                code="no-plan",
            )
        task = trajectory.task.id
        initial[task] = max(initial.get(task, 0), planned.get(0, 0))
        later[task] = later.get(task, 0) + sum(n for state, n in planned.items() if state)
    return {task: max(0, initial[task] - settings.simulations) + later[task] for task in initial}
