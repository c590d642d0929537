"""Attribution of single demonstrations, and how many simulations that takes."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.config.schema import Explore
from eef_framework.errors import AttributorFailure, boundary
from eef_framework.interfaces import Attributor
from eef_framework.records import Attribution, SuccessRule, Trajectory
from eef_framework.rollout import Simulations, attribute


async def try_to_attribute(
    attributor: Attributor, trajectory: Trajectory, simulations: Simulations, failed: list[AttributorFailure]
) -> Attribution:
    """Have one trajectory attributed. Whatever goes wrong is recorded, and leaves all its actions unknown.

    Args:
        attributor: which attributes.
        trajectory: what.
        simulations: where the agent's simulations come from.
        failed: what goes wrong is appended to it.
    """
    name = attributor.component_name()
    try:
        with boundary(AttributorFailure, f"attributor {name!r}", f"attributing {trajectory.id!r}"):
            return await attribute(attributor, trajectory, simulations)
    except AttributorFailure as failure:
        failed.append(failure)
        length = len(trajectory.steps)
        return Attribution(trajectory=trajectory.id, length=length, method=name, error=str(failure))


def to_attribute(demonstrations: Sequence[Trajectory], rule: SuccessRule, settings: Explore) -> list[Trajectory]:
    """Return the demonstrations whose states are tried: those with actions that the settings choose."""
    return [
        trajectory
        for trajectory in demonstrations
        if trajectory.steps
        and trajectory.ending != "error"
        and not (settings.attribute == "failures" and rule.holds(trajectory))
    ]


def matched_simulations(
    demonstrations: Sequence[Trajectory], attributor: Attributor | None, settings: Explore
) -> dict[str, int]:
    """Return how many simulations from intermediate states an attributor would take, by task.

    Raises:
        AttributorFailure: the attributor doesn't know beforehand.
    """
    counts: dict[str, int] = {}
    for trajectory in demonstrations:
        planned = attributor.planned_simulations(len(trajectory.steps)) if attributor else None
        if planned is None:
            name = attributor.component_name() if attributor else None
            raise AttributorFailure(
                f"explore.matched needs an attributor that plans its simulations, not {name!r}",
                "Name such an attributor (`interval`), or set explore.simulations to a number instead.",
                code="no-plan",
            )
        beyond = sum(n - (settings.simulations if state == 0 else 0) for state, n in planned.items())
        counts[trajectory.task.id] = counts.get(trajectory.task.id, 0) + max(0, beyond)
    return counts
