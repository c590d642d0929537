"""What a run will do, as far as that is known before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.config.schema import RunConfig
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phase import Planned
from eef_framework.pipeline.preflight import check_methods, preflight
from eef_framework.pipeline.sequence import phases_of
from eef_framework.pipeline.variants import variants
from eef_framework.plugins import Registry
from eef_framework.runs import RunDirectory

if TYPE_CHECKING:
    from rich.table import Table


class Plan:
    """The phases of a run that play, in order.

    Args:
        config: the resolved configuration as plain data.
        phases: title and number of episodes of each.
    """

    def __init__(self, config: dict[str, Any], phases: list[tuple[str, Planned]]) -> None:
        self.config = config
        self.phases = phases

    @property
    def episodes(self) -> Planned:
        """Episodes of all phases that are known."""
        planned = [each for _, each in self.phases]
        return Planned(
            sum(each.episodes or 0 for each in planned),
            at_most=any(each.at_most or each.episodes is None for each in planned),
        )


def plan(config: RunConfig, registry: Registry, out: str | Path) -> Plan:
    """Work out what a run will do, and find what it would find in its first second. Nothing is played or written.

    Args:
        config: the run's configuration.
        registry: where components are found by name.
        out: the run directory.

    Raises:
        ConfigError: the configuration is wrong.
        RunConflict: the directory is the record of another run.
    """
    methods = variants(config, registry)
    with RunContext(config, registry) as context:
        check_methods(context, methods)
        directory = RunDirectory(Path(out).expanduser())
        phases, _ = phases_of(context, methods, directory.layout)
        preflight(context, methods, phases)
        directory.check(context.resolved())
        planned = [(phase.title, phase.planned(context)) for phase in phases if not phase.done]
        return Plan(context.resolved(), [(title, each) for title, each in planned if each is not None])


def plan_table(plan: Plan) -> Table:
    """Return a plan as a table for the terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("phase")
    table.add_column("episodes", justify="right")
    for title, planned in plan.phases:
        table.add_row(title, _number(planned))
    table.add_row("in all", _number(plan.episodes), style="bold")
    return table


def _number(planned: Planned) -> str:
    return "unknown" if planned.episodes is None else f"{'at most ' if planned.at_most else ''}{planned.episodes:,}"
