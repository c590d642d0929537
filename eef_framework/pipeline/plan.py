"""What a run will do, as far as that is known before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eef_framework.config.tree import RunConfig
from eef_framework.interfaces import Attributor
from eef_framework.pipeline.methods import methods
from eef_framework.pipeline.progress import Progress
from eef_framework.pipeline.workshop import Workshop
from eef_framework.plugins import Registry
from eef_framework.records import Record

if TYPE_CHECKING:
    from rich.table import Table

LONG = 1000
"""Actions of an episode that stands for any long one, where a run sets no limit."""


class PlannedPhase(Record):
    """A phase and the episodes it plays."""

    name: str
    episodes: int | None
    """How many; None where nothing is known."""
    at_most: bool = False
    """Whether that is an upper bound: short demonstrations have fewer states to simulate from."""


class Plan(Record):
    """All phases that play or train, in order."""

    phases: tuple[PlannedPhase, ...]

    @property
    def episodes(self) -> int:
        """Episodes of all phases that are known."""
        return sum(phase.episodes or 0 for phase in self.phases)


def plan(config: RunConfig, registry: Registry) -> Plan:
    """Work out what a run will do. Nothing is played or trained, but the environment is asked for its tasks.

    Raises:
        ConfigError: the configuration is wrong.
    """
    variants = methods(config, registry)
    workshop = Workshop.build(config, registry, Progress())
    try:
        for variant in variants:
            workshop.check(variant)
        train = len(workshop.tasks(config.collect.tasks))
        test = len(workshop.tasks(config.evaluate.tasks))
        phases = [PlannedPhase(name="collect", episodes=0 if config.collect.trajectories else train)]
        if config.evaluate.expert:
            phases.append(PlannedPhase(name="evaluate expert", episodes=test))
        phases.append(PlannedPhase(name="clone, evaluate", episodes=test))
        for variant in variants:
            phases += _method(variant, workshop.attributor(variant), config, train, test)
        return Plan(phases=tuple(phases))
    finally:
        workshop.close()


def plan_table(plan: Plan) -> Table:
    """Return a plan as a table for the terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("phase")
    table.add_column("episodes", justify="right")
    bounded = any(phase.at_most or phase.episodes is None for phase in plan.phases)
    for phase in plan.phases:
        table.add_row(phase.name, _number(phase.episodes, phase.at_most))
    table.add_row("in all", _number(plan.episodes, bounded), style="bold")
    return table


def _method(
    variant: RunConfig, attributor: Attributor | None, config: RunConfig, train: int, test: int
) -> Iterator[PlannedPhase]:
    name = variant.method
    if variant.clone != config.clone:
        yield PlannedPhase(name=f"{name}: clone, evaluate", episodes=test)
    initial = variant.explore.simulations
    further: int | None = 0
    if attributor is not None and (variant.explore.attribute != "none" or variant.explore.matched):
        further = _most_simulations(attributor, variant.limits.steps or LONG, initial)
    for iteration in range(1, variant.iterations + 1):
        episodes = None if further is None else train * (initial + further)
        yield PlannedPhase(name=f"{name} {iteration}: explore", episodes=episodes, at_most=bool(further))
        yield PlannedPhase(name=f"{name} {iteration}: select, tune, evaluate", episodes=test)


def _most_simulations(attributor: Attributor, longest: int, initial: int) -> int | None:
    """Return how many simulations a demonstration takes at most, besides those from the initial state."""
    planned = attributor.planned(longest)
    if planned is None:
        return None
    return sum(max(0, n - initial) if state == 0 else n for state, n in planned.items())


def _number(episodes: int | None, at_most: bool) -> str:
    return "unknown" if episodes is None else f"{'at most ' if at_most else ''}{episodes:,}"
