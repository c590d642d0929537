"""Plan of a run, as far as it is known before the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.config.schema import RunConfig
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.method_checks import check_methods
from eef_framework.pipeline.phase import Planned
from eef_framework.pipeline.preflight import preflight, task_digests
from eef_framework.pipeline.sequence import phases_of
from eef_framework.pipeline.variants import variants
from eef_framework.plugins import Registry
from eef_framework.records import Cost
from eef_framework.runs import RunDirectory

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Plan:
    """The phases of a run that play episodes, in order.

    Attributes:
        config: the resolved configuration as plain data.
        phases: title and number of episodes of each.
        longest_episode: in actions; None if unlimited.
        costs: estimate of tokens and dollars, from above, by title; of phases for which there is one.
    """

    config: dict[str, Any]
    phases: Sequence[tuple[str, Planned]]
    longest_episode: int | None
    costs: Mapping[str, Cost] = field(default_factory=dict)


def plan(config: RunConfig, registry: Registry, out: str | Path) -> Plan:
    """Return the plan of a run, and raise the errors that it would raise at its start. Nothing is played or written.

    Args:
        config: the run's configuration.
        registry: registry for looking up components by name.
        out: the run directory.

    Raises:
        ConfigError: the configuration is invalid.
        RunConflict: the directory belongs to another run.
    """
    methods = variants(config, registry)
    with RunContext(config, registry) as context:
        check_methods(context, methods)
        context.preflight(context.trackers())
        directory = RunDirectory(Path(out).expanduser())
        phases, _ = phases_of(context, methods, directory.layout)
        preflight(context, methods, phases)
        resolved = context.resolved()
        versions = context.code_in_use(methods)
        tasks = task_digests(context, methods)
        directory.check(resolved, versions, tasks, context.leeway(), context.baselines(methods))
        planned = [(phase.title, phase.planned(context)) for phase in phases if not phase.done]
        playing = [(title, each) for title, each in planned if each is not None]
        expected = {phase.title: phase.expected_cost(context) for phase in phases if not phase.done}
        costs = {title: cost for title, cost in expected.items() if cost is not None}
        return Plan(resolved, playing, context.longest_episode, costs)


def plan_table(plan: Plan) -> Table:
    """Return a plan as a table for the terminal. Numbers not known in advance and their sum are shown as unknown."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("phase")
    for column in ("episodes", "actions", *(("tokens", "US dollars") if plan.costs else ())):
        table.add_column(column, justify="right")
    total = sum((planned for _, planned in plan.phases), Planned(0))
    for title, planned in plan.phases:
        cost = _cost(plan.costs.get(title)) if plan.costs else ()
        table.add_row(title, _number(planned), _actions(planned, plan.longest_episode), *cost)
    cost = _cost(sum(plan.costs.values(), Cost())) if plan.costs else ()
    table.add_row("in all", _number(total), _actions(total, plan.longest_episode), *cost, style="bold")
    if plan.costs:
        table.caption = (
            "tokens and dollars: of the expert and of judges, if every episode takes all actions, answers are as long "
            "as allowed, and observations as long as the first ones"
        )
        table.caption_justify = "left"
    return table


def _cost(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "", ""
    return f"about {cost.computed_tokens:,}", f"about {cost.usd:,.2f}" if cost.usd else ""


def _actions(planned: Planned, longest: int | None) -> str:
    if planned.episodes is None or longest is None:
        return "unknown"
    return _number(Planned((planned.episodes - planned.single) * longest + planned.single, at_most=True))


def _number(planned: Planned) -> str:
    return "unknown" if planned.episodes is None else f"{'at most ' if planned.at_most else ''}{planned.episodes:,}"
