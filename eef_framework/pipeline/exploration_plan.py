"""How many episodes an exploration will play, and what its questions will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eef_framework.config.schema import RunConfig, TaskList
from eef_framework.interfaces import Attributor
from eef_framework.pipeline.attribution import most_of, plan_of, planned_by_task, to_attribute
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.expected_costs import expected_exploration_cost
from eef_framework.pipeline.phase import Planned
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.world_model import expert_states
from eef_framework.records import Cost, Spending, Task, Trajectory


@dataclass(frozen=True)
class ExplorationPlan:
    """What an exploration will play, as far as its configuration and the demonstrations tell.

    Attributes:
        context: the run.
        variant: the method.
        demonstrations: the expert's trajectories, which may not exist yet.
        listed: the tasks to play from their initial states; None for those of the demonstrations.
        matches: the plan of the exploration whose number of simulations is matched, if another one's is.
        in_run: whether the exploration is part of a run, which may still have to collect the demonstrations.
    """

    context: RunContext
    variant: RunConfig
    demonstrations: Rows[Trajectory]
    listed: TaskList | None
    matches: ExplorationPlan | None
    in_run: bool

    def episodes(self) -> Planned:
        """Return the maximum number of episodes: exact if the demonstrations exist already."""
        return self._simulations() + self._alternatives()

    def cost(self) -> Cost | None:
        """Return an estimate of what the expert's advice, the attributor's judge and reflections cost."""
        known = self._known_demonstrations()
        return expected_exploration_cost(self.context, self.variant, self.tasks(known or ()), known, self._longest())

    def tasks(self, demonstrations: Sequence[Trajectory]) -> Sequence[Task]:
        """Return the tasks to play from their initial states."""
        if self.listed is not None:
            return self.context.tasks(self.listed)
        return list({row.task.id: row.task for row in demonstrations}.values())

    def from_start(
        self, demonstrations: Sequence[Trajectory], spent: Mapping[str, Spending] | None = None
    ) -> dict[str, int]:
        """Return task id -> number of episodes from its initial state.

        Args:
            demonstrations: the expert's trajectories.
            spent: what the exploration spent that is matched; None to match what the method's own attributor plans.
        """
        settings = self.variant.explore
        plain = {task.id: settings.simulations for task in self.tasks(demonstrations)}
        if not settings.matched or settings.schedule is not None:
            return plain
        if spent is not None:
            return {task: spent.get(task, Spending()).simulations for task in plain}
        attributor = self._attributor
        further = planned_by_task(demonstrations, attributor, settings) if attributor else {}
        return {task: count + further.get(task, 0) for task, count in plain.items()}

    def expected(self, demonstrations: Sequence[Trajectory], spent: Mapping[str, Spending] | None = None) -> int:
        """Return the number of episodes, without alternatives and those not known in advance.

        Args:
            demonstrations: the expert's trajectories.
            spent: as for `from_start`.
        """
        settings, attributor = self.variant.explore, self._attributor
        if settings.schedule is not None:
            each = settings.schedule.budget.simulations or settings.simulations
            return round(each * len(self.tasks(demonstrations)))
        initial = sum(self.from_start(demonstrations, spent).values())
        if attributor is None or settings.attribute == "none" or plan_of(attributor, 1) is None:
            return initial
        chosen = to_attribute(demonstrations, self.context.config.success, settings)
        return initial + sum(planned_by_task(chosen, attributor, settings).values())

    @property
    def _attributor(self) -> Attributor | None:
        return self.context.attributor(self.variant)

    @property
    def _looks_beyond_starts(self) -> bool:
        return self.variant.explore.attribute != "none" or self.variant.explore.matched

    def _alternatives(self) -> Planned:
        each = self.variant.explore.alternatives
        demonstrations = self._known_demonstrations() if each else []
        if demonstrations is not None:
            tries = each * len(expert_states(demonstrations, self.context.config.success))
            return Planned(tries, single=tries)
        if self.context.longest_episode is None:
            return Planned(None)
        tries = each * self.context.longest_episode * len(self.tasks(()))
        return Planned(tries, at_most=True, single=tries)

    def _simulations(self) -> Planned:
        settings, attributor = self.variant.explore, self._attributor
        if settings.matched and self.matches is not None:
            return self.matches.episodes()
        if settings.schedule is not None:
            return self._by_budget(settings.schedule.budget.simulations)
        demonstrations = self._known_demonstrations()
        if demonstrations is not None:
            if attributor is None or plan_of(attributor, 1) is not None or not self._looks_beyond_starts:
                return Planned(self.expected(demonstrations))
            initial = sum(self.from_start(demonstrations).values())
            chosen = to_attribute(demonstrations, self.context.config.success, settings)
            bounds = [most_of(attributor, len(row.steps), settings.simulations) for row in chosen]
            return sum((Planned(bound, at_most=True) for bound in bounds), Planned(initial, at_most=True))
        tasks = len(self.tasks(()))
        if attributor is None or not self._looks_beyond_starts:
            return Planned(tasks * settings.simulations)
        further = _most_simulations(attributor, self.context.longest_episode, settings.simulations)
        return Planned(None if further is None else tasks * (settings.simulations + further), at_most=True)

    def _by_budget(self, simulations_per_task: float | None) -> Planned:
        if simulations_per_task is None:
            return Planned(None)
        known = () if self.listed else self.demonstrations.read_if_there()
        return Planned(int(simulations_per_task * len(self.tasks(known))), at_most=True)

    def _longest(self) -> list[int] | None:
        """Return the greatest length of every demonstration that isn't known yet; None if there is no limit."""
        context = self.context
        if context.longest_episode is None or self.listed is None:
            return None
        each = 1 if context.config.expert is None else context.expert.demonstrations_per_task
        return [context.longest_episode] * (len(context.tasks(self.listed)) * each)

    def _known_demonstrations(self) -> Sequence[Trajectory] | None:
        """Return the demonstrations if they are known before the run starts."""
        source = self.context.config.collect.trajectories
        if self.demonstrations.path.exists() and (not self.in_run or source is not None):
            return self.demonstrations.read()
        if not self.in_run or source is None:
            return None
        wanted = {task.id for task in self.context.tasks(self.listed)} if self.listed else set()
        return [row for row in Rows(Path(source).expanduser(), Trajectory).read() if row.task.id in wanted]


def _most_simulations(attributor: Attributor, longest: int | None, initial: int) -> int | None:
    """Return the maximum number of simulations per demonstration, beyond those from the initial state.

    Args:
        attributor: gives the number for each length.
        longest: length of the longest demonstration; None if it isn't known.
        initial: simulations from the initial state that are played anyway.
    """
    bounds = [most_of(attributor, length, initial) for length in range(1, (longest or 0) + 1)]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if known and len(known) == len(bounds) else None
