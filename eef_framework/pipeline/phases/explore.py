"""Phase 2: the agent tries, from initial states and from states of the expert's demonstrations."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eef_framework.config.schema import RunConfig, TaskList
from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Attributor
from eef_framework.pipeline.attribution import matched_simulations, to_attribute, try_to_attribute
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.costs import cost_of
from eef_framework.pipeline.episodes import MOST_ERRORS, check_errors, gather, in_order, without_replaced
from eef_framework.pipeline.phase import Outcome, Phase, Planned, Weights
from eef_framework.pipeline.progress import Counter, Update
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.solutions import Exploration
from eef_framework.records import Attribution, Task, Trajectory
from eef_framework.rollout import Simulator
from eef_framework.runs import FILES, content_id
from eef_framework.seeds import derive

LONG = 1000
"""Actions of an episode that stands for any long one, where nothing sets a limit."""


class ExplorationFiles:
    """What an exploration leaves in its folder.

    Args:
        folder: the folder.

    Attributes:
        simulations: all its episodes, from initial and from intermediate states.
        attributions: its verdicts; no file where nothing was attributed.
    """

    def __init__(self, folder: Path) -> None:
        self.simulations = Rows(folder / FILES.simulations, Trajectory)
        self.attributions = Rows(folder / FILES.attributions, Attribution)

    def read(self) -> Exploration:
        """Return both."""
        verdicts = {verdict.trajectory: verdict for verdict in self.attributions.read_if_there()}
        return Exploration(self.simulations.read(), verdicts)


@dataclass(kw_only=True)
class Explore(Phase):
    """Lets the agent try, and has demonstrations attributed by how it fares.

    Attributes:
        variant: the method.
        demonstrations: the expert's trajectories.
        weights: the agent's; None for a policy without weights.
        files: what to write. Episodes that are there are kept.
        tasks: the tasks to try from their initial states; those of the demonstrations where it is None.
        iteration: which exploration of the method it is, for the seed.
        name: first part of the episodes' ids, such as `eef/1`.
    """

    title: str = "explore"
    variant: RunConfig
    demonstrations: Rows[Trajectory]
    weights: Weights | None
    files: ExplorationFiles
    tasks: TaskList | None = None
    iteration: int = 1
    name: str = "explore"

    def work(self, context: RunContext, update: Update) -> Outcome:
        """Play what is missing, and attribute."""
        demonstrations, rule, settings = self.demonstrations.read(), context.config.success, self.variant.explore
        tasks = self._tasks(context, demonstrations)
        attributor = context.attributor(self.variant)
        checkpoint = self.weights.checkpoint if self.weights else None
        given = {} if self.stage else {"demonstrations": content_id(self.demonstrations.path)}
        given |= {} if self.stage else {"model": content_id(checkpoint.path if checkpoint else None)}
        parts = ("policy", "format", "success", "attributor", "explore")
        path = self.files.simulations.path
        with self.episodes(context, path, Trajectory, *parts, **given) as rows:
            expected = self._expected(context, demonstrations, len(tasks))
            counter = Counter(update, expected, map(rule.holds, rows.rows))
            seed = derive(context.config.seed, "explore", self.iteration)
            with context.agent(checkpoint) as agent:
                player = context.player(agent, f"agent/{self.name}", settings.sampling)
                simulator = Simulator(
                    player,
                    rows,
                    self.name,
                    seed,
                    rule,
                    played=lambda t: counter.add(rule.holds(t)),
                    demonstrations=demonstrations,
                    initial_simulations=settings.simulations,
                )
                attributions = context.wait_for(self._explore(simulator, tasks, demonstrations, attributor))
            check_errors(rows.rows)
            found = in_order(without_replaced(rows.rows))
            self.files.simulations.rewrite(rows, found)
        if attributions or self.files.attributions.path.exists():
            self.files.attributions.write(attributions)
        return Outcome(cost_of(found, by_agent=True), {path.name: len(found)})

    def planned(self, context: RunContext) -> Planned:
        """Return how many episodes the settings lead to, as far as the attributor knows."""
        tasks = len(context.tasks(self.tasks)) if self.tasks else len(self.demonstrations.read())
        settings, attributor = self.variant.explore, context.attributor(self.variant)
        if attributor is None or (settings.attribute == "none" and not settings.matched):
            return Planned(tasks * settings.simulations)
        longest = self.variant.limits.steps or LONG
        further = attributor.planned_simulations(longest)
        if further is None:
            return Planned(None)
        most = sum(max(0, n - settings.simulations) if state == 0 else n for state, n in further.items())
        return Planned(tasks * (settings.simulations + most), at_most=True)

    def _tasks(self, context: RunContext, demonstrations: Sequence[Trajectory]) -> Sequence[Task]:
        if self.tasks is not None:
            return context.tasks(self.tasks)
        return list({row.task.id: row.task for row in demonstrations}.values())

    def _expected(self, context: RunContext, demonstrations: Sequence[Trajectory], tasks: int) -> int:
        """Return how many episodes there will be, for progress; without those that nobody knows beforehand."""
        settings, attributor = self.variant.explore, context.attributor(self.variant)
        initial = settings.simulations * tasks
        if attributor is None or attributor.planned_simulations(1) is None:
            return initial
        if settings.attribute != "none":
            demonstrations = to_attribute(demonstrations, context.config.success, settings)
        elif not settings.matched:
            return initial
        return initial + sum(matched_simulations(demonstrations, attributor, settings).values())

    async def _explore(
        self,
        simulator: Simulator,
        tasks: Sequence[Task],
        demonstrations: Sequence[Trajectory],
        attributor: Attributor | None,
    ) -> list[Attribution]:
        """Try from initial states, and from states of the demonstrations as the attributor asks for.

        Returns:
            A verdict for each demonstration that was attributed, in their order.
        """
        settings = self.variant.explore
        further = matched_simulations(demonstrations, attributor, settings) if settings.matched else {}
        initial = gather(simulator.initial(task, settings.simulations + further.get(task.id, 0)) for task in tasks)
        if attributor is None or settings.attribute == "none":
            await initial
            return []
        chosen = to_attribute(demonstrations, simulator.rule, settings)
        failed: list[AttributorFailure] = []
        _, attributions = await asyncio.gather(
            initial, gather(try_to_attribute(attributor, trajectory, simulator, failed) for trajectory in chosen)
        )
        if failed and len(failed) > MOST_ERRORS * len(attributions):
            raise AttributorFailure(
                f"attributor {attributor.component_name()!r} failed on {len(failed)} of {len(attributions)} "
                f"trajectories; first: {failed[0]}",
                "`eef check` tries an attributor on small cases.",
                code="attributions-failed",
                failed=len(failed),
                trajectories=len(attributions),
                where=failed[0].details.get("where", ""),
            ) from failed[0]
        return attributions
