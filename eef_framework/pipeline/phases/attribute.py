"""Attribution from recorded simulations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eef_framework.config.schema import RunConfig
from eef_framework.errors import AttributorFailure, ConfigError
from eef_framework.interfaces import Component, ProgressCallback
from eef_framework.pipeline.attribution import check_attributions, to_attribute, try_to_attribute
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.costs import with_attributions
from eef_framework.pipeline.episodes import gather
from eef_framework.pipeline.phase import Phase, PhaseResult
from eef_framework.pipeline.rows import Rows
from eef_framework.records import Attribution, Cost, Trajectory
from eef_framework.rollout import RecordedSimulations


@dataclass(kw_only=True)
class Attribute(Phase):
    """Attributes demonstrations without an agent.

    Attributes:
        variant: the method.
        demonstrations: the expert's trajectories.
        simulations: the agent's simulations, written by an exploration.
        attributions: the file to write.
    """

    title: str = "attribute"
    variant: RunConfig
    demonstrations: Rows[Trajectory]
    simulations: Rows[Trajectory]
    attributions: Rows[Attribution]

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return the attributor, if there is one."""
        return () if (attributor := context.attributor(self.variant)) is None else (attributor,)

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Run the attributor on each demonstration."""
        attributor, rule = context.attributor(self.variant), context.config.success
        if attributor is None:
            raise ConfigError(
                "this configuration has no attributor",
                "Name one: --set attributor=interval.",
                code="attributor-missing",
            )
        demonstrations = self.demonstrations.read()
        explored = self.variant.explore.simulations
        recorded = RecordedSimulations(self.simulations.read(), rule, demonstrations, explored)
        chosen = to_attribute(demonstrations, rule, self.variant.explore)
        failed: list[AttributorFailure] = []
        found = context.wait_for(gather(try_to_attribute(attributor, each, recorded, failed) for each in chosen))
        check_attributions(attributor, len(found), failed)
        self.attributions.write(found)
        return PhaseResult(with_attributions(Cost(), found), {self.attributions.path.name: len(found)})
