"""Converts an attributor's result to a record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from eef_framework.errors import AttributorFailure, awaitable
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Attribution, Segment, StateValue, Trajectory
from eef_framework.rollout.awaited import AwaitedSimulate
from eef_framework.rollout.simulate import Simulations, TrajectorySimulate


async def attribute(attributor: Attributor, trajectory: Trajectory, simulations: Simulations) -> Attribution:
    """Attribute one trajectory, and record the simulations that were played for it.

    Raises:
        AttributorFailure: the attributor returned something other than segments of this trajectory.
    """
    return await attribute_with(attributor, trajectory, TrajectorySimulate(simulations, trajectory))


async def attribute_with(attributor: Attributor, trajectory: Trajectory, simulate: TrajectorySimulate) -> Attribution:
    """Attribute one trajectory as `attribute` does, with simulations that keep their cost if it fails."""
    found = await attribution_by(attributor, trajectory, simulate)
    return found.changed(method=attributor.component_name(), probes=simulate.probes, cost=simulate.cost)


async def attribution_by(attributor: Attributor, trajectory: Trajectory, simulate: Simulate) -> Attribution:
    """Return the verdicts of an attributor. A trajectory without actions has none, and it isn't asked.

    Raises:
        AttributorFailure: it returned something other than segments of this trajectory, isn't a coroutine, or forgot
            to await a call of `simulate` (`not-awaited`).
    """
    if not trajectory.steps:
        return attribution_of(trajectory, ())
    watched = AwaitedSimulate(simulate)
    found = attributor.attribute(trajectory, watched)
    verdicts = await awaitable(found, attributor, "attribute", AttributorFailure)
    watched.require_awaited(attributor)
    return attribution_of(trajectory, verdicts)


def attribution_of(trajectory: Trajectory, given: Iterable[Segment | StateValue]) -> Attribution:
    """Return the record of verdicts on a trajectory.

    Args:
        trajectory: the attributed trajectory.
        given: the attributor's result.

    Raises:
        AttributorFailure: it isn't segments and values, or they don't fit the trajectory.
    """
    length = len(trajectory.steps)
    parts: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, str | Attribution) else []
    odd = next((part for part in parts if not isinstance(part, Segment | StateValue)), None)
    if odd is not None or not isinstance(given, Iterable) or isinstance(given, str | Attribution):
        raise AttributorFailure(
            f"attribute() returned {given if odd is None else odd!r:.200}, expected segments",
            "Return a list of Segment(start=..., end=..., verdict=...), empty where nothing is known.",
            code="not-segments",
        )
    values = sorted((part for part in parts if isinstance(part, StateValue)), key=lambda value: value.state)
    beyond = next((value.state for value in values if value.state > length), None)
    if beyond is not None:
        raise AttributorFailure(
            f"a value of state {beyond} was returned for a trajectory of {length} actions",
            f"States are numbered 0 to {length}.",
            code="segments-dont-fit",
        )
    segments = sorted((part for part in parts if isinstance(part, Segment)), key=lambda segment: segment.start)
    try:
        return Attribution(trajectory=trajectory.id, length=length, segments=tuple(segments), values=tuple(values))
    except ValidationError as cause:
        raise AttributorFailure(
            cause.errors(include_url=False, include_context=False)[0]["msg"].removeprefix("Value error, "),
            f"Segments are half-open ranges of the {length} actions: start and end, without overlap.",
            code="segments-dont-fit",
        ) from cause
