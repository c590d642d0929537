"""Phase 2, exploration: the agent plays from initial states and from states of the expert's demonstrations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eef_framework.config.schema import RunConfig, TaskList
from eef_framework.errors import AttributorFailure
from eef_framework.evaluation.spending import spending_by_task
from eef_framework.formats import explorable
from eef_framework.interfaces import Attributor, Component, PlayEpisode, ProgressCallback
from eef_framework.pipeline.adaptive import AdaptiveExploration
from eef_framework.pipeline.attribution import check_attributions, to_attribute, try_to_attribute, warn_of_unknown
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.costs import cost_of, with_attributions
from eef_framework.pipeline.episodes import (
    check_errors,
    gather,
    in_order,
    lost_workers,
    mean_results,
    warn_of_answers,
    without_replaced,
)
from eef_framework.pipeline.exploration_files import ExplorationFiles
from eef_framework.pipeline.exploration_plan import ExplorationPlan
from eef_framework.pipeline.phase import Phase, PhaseResult, Planned, Weights, checkpoint_of, model_id
from eef_framework.pipeline.phases.initial_checkpoint import InitialCheckpoint
from eef_framework.pipeline.progress import Counter
from eef_framework.pipeline.questions import ask_for_advice, ask_for_reflections
from eef_framework.pipeline.reflection import count_without_action, counts_of
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.schedule import per_task
from eef_framework.pipeline.world_model import expert_states
from eef_framework.records import Attribution, Cost, Spending, Task, Trajectory
from eef_framework.records.base import Info
from eef_framework.rollout import Simulator
from eef_framework.rollout.episode_costs import cost_of_episode
from eef_framework.runs import JsonlFile, content_id
from eef_framework.seeds import derive


@dataclass(kw_only=True)
class Explore(Phase):
    """Plays simulations with the agent, and attributes demonstrations with them.

    Attributes:
        variant: the method.
        demonstrations: the expert's trajectories.
        weights: the agent's; None for a policy without weights.
        files: the files to write. Existing episodes are kept.
        tasks: the tasks to play from their initial states; None for those of the demonstrations.
        iteration: index of the method's exploration, for the seed.
        name: first part of the episodes' ids, such as `eef/1`.
        matches: if configured, the exploration whose number of simulations per task is matched; without one, that
            planned by the method's own attributor is matched.
    """

    title: str = "explore"
    variant: RunConfig
    demonstrations: Rows[Trajectory]
    weights: Weights | None
    files: ExplorationFiles
    tasks: TaskList | None = None
    iteration: int = 1
    name: str = "explore"
    matches: Explore | None = None
    _spent: dict[str, Spending] | None = None

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return environment, policy, executor and attributor."""
        attributor = context.attributor(self.variant)
        others = [attributor] if attributor is not None else []
        experts = [context.expert] if self.variant.explore.advice else []
        if self.variant.explore.reflection is not None:
            experts.append(context.judge(self.variant.explore.reflection))
        return context.environment, context.policy, context.executor, *others, *experts

    def spent(self) -> dict[str, Spending]:
        """Return its spending per task, tokens of attributions included, once it is done."""
        if self._spent is None:
            self._spent = spending_by_task([*self.files.simulations.read(), *self.files.alternatives.read_if_there()])
            tasks = {row.id: row.task.id for row in self.demonstrations.read()}
            others = [(tasks.get(each.trajectory), each.cost) for each in self.files.attributions.read_if_there()]
            others += [(row.task.id, cost_of_episode(row)) for row in self.files.reflections.read_if_there()]
            for task, cost in others:
                if task is not None:
                    self._spent[task] = self._spent.get(task, Spending()) + Spending(tokens=cost.computed_tokens)
        return self._spent

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Play what is missing, and attribute."""
        demonstrations = explorable(self.demonstrations.read(), self.demonstrations.path)
        rule, settings, plan = context.config.success, self.variant.explore, self._plan(context)
        tasks = plan.tasks(demonstrations)
        spent = self.matches.spent() if self.matches and settings.matched else None
        attributor = context.attributor(self.variant)
        with self._open(context, self.files.simulations.path, tasks) as rows:
            counts = plan.from_start(demonstrations, spent)
            alternatives = settings.alternatives * len(expert_states(demonstrations, rule))
            counter = Counter(progress, plan.expected(demonstrations, spent) + alternatives, rule, rows.rows)
            seed = self._seed(context)
            setup = context.episodes(checkpoint_of(self.weights), f"agent/{self.name}", settings.sampling)
            with context.playing(setup) as play:
                simulator = Simulator(
                    play,
                    rows,
                    self.name,
                    seed,
                    rule,
                    played=counter.add,
                    demonstrations=demonstrations,
                    initial_simulations=settings.simulations,
                )
                adaptive = self._adaptive(simulator, tasks, demonstrations, attributor, spent, derive(seed, "schedule"))
                exploration = (
                    adaptive.play() if adaptive else self._explore(simulator, tasks, counts, demonstrations, attributor)
                )
                attributions = context.wait_for(simulator.until(exploration))
                if settings.alternatives:
                    self._try_alternatives(context, tasks, demonstrations, play, counter)
            found = in_order(without_replaced(rows.rows))
            counter.finish([*found, *self.files.alternatives.read_if_there()])
            check_errors(rows.rows)
            self.files.simulations.rewrite(rows, found)
        if not isinstance(self.weights, InitialCheckpoint):
            warn_of_answers(found, context.format, trained=self.weights is not None)
        if attributions or self.files.attributions.path.exists():
            self.files.attributions.write(attributions)
            warn_of_unknown(attributions)
        info = lost_workers(play) | ({"exploration": adaptive.info()} if adaptive else {})
        cost, asked = self._ask(context, demonstrations, found)
        cost += with_attributions(cost_of(found, by_agent=True), attributions)
        counted = {file.path.name: len(file.read()) for file in self.files.all if file.path.exists()}
        return PhaseResult(cost, counted, info | asked, mean_results(found, rule))

    def _ask(
        self, context: RunContext, demonstrations: Sequence[Trajectory], episodes: Sequence[Trajectory]
    ) -> tuple[Cost, Info]:
        """Ask what the settings want besides; return what that and the alternatives cost, and what to record of it."""
        settings, files = self.variant.explore, self.files
        cost, info = Cost(), Info()
        if settings.alternatives:
            tried = files.alternatives.read()
            cost += cost_of(tried, by_agent=True)
        if settings.reflection is not None:
            name, seed = f"{self.name}/reflections", self._seed(context, "reflections")
            answers = [row for row in tried if not row.lost]
            cost += ask_for_reflections(
                context, settings.reflection, demonstrations, answers, files.reflections, name, seed
            )
            without = count_without_action(demonstrations, answers, context.config.success)
            info["reflections"] = {**counts_of(files.reflections.read()), "no_action": without}
        if settings.advice:
            cost += ask_for_advice(context, episodes, files.advice)
        return cost, info

    def _seed(self, context: RunContext, *purpose: str) -> int:
        return derive(context.config.seed, "explore", self.iteration, *purpose)

    def _open(self, context: RunContext, path: Path, tasks: Sequence[Task]) -> JsonlFile[Trajectory]:
        """Open a file of the agent's episodes to continue it."""
        experts = ["expert"] if self.variant.explore.advice else []
        return self.episodes(context, path, tasks, "policy", "format", "success", "attributor", "explore", *experts)

    def recorded_inputs(self, context: RunContext) -> dict[str, Any]:
        """Return digests of the demonstrations and of the model."""
        return {"demonstrations": content_id(self.demonstrations.path), "model": model_id(self.weights)}

    def _try_alternatives(
        self,
        context: RunContext,
        tasks: Sequence[Task],
        demonstrations: Sequence[Trajectory],
        play: PlayEpisode,
        counter: Counter,
    ) -> None:
        """Let the agent act once in every state of the expert's successes, several times; keep what is known."""
        rule, settings = context.config.success, self.variant.explore
        name, seed = f"{self.name}/alternatives", self._seed(context, "alternatives")
        with self._open(context, self.files.alternatives.path, tasks) as rows:
            simulator = Simulator(play, rows, name, seed, rule, played=counter.add, steps=1)
            states = expert_states(demonstrations, rule)
            tried = gather(simulator.simulate(state, settings.alternatives) for state in states)
            context.wait_for(simulator.until(tried))
            check_errors(rows.rows)
            self.files.alternatives.rewrite(rows, in_order(without_replaced(rows.rows)))

    def planned(self, context: RunContext) -> Planned:
        """Return the maximum number of episodes: exact if the demonstrations exist already."""
        return self._plan(context).episodes()

    def expected_cost(self, context: RunContext) -> Cost | None:
        """Return an estimate of what the expert's advice, the attributor's judge and reflections cost."""
        return self._plan(context).cost()

    def _plan(self, context: RunContext) -> ExplorationPlan:
        matches = self.matches._plan(context) if self.matches else None
        return ExplorationPlan(
            context, self.variant, self.demonstrations, self.tasks, matches, in_run=self.stage is not None
        )

    def _adaptive(
        self,
        simulator: Simulator,
        tasks: Sequence[Task],
        demonstrations: Sequence[Trajectory],
        attributor: Attributor | None,
        spent: Mapping[str, Spending] | None,
        seed: int,
    ) -> AdaptiveExploration | None:
        """Return the exploration that adapts, if there is a schedule."""
        settings = self.variant.explore
        if settings.schedule is None:
            return None
        budget = settings.schedule.budget
        if spent is not None:
            budget = per_task(spent, len(tasks), budget)
        return AdaptiveExploration(
            simulator, tasks, demonstrations, attributor, settings, settings.schedule, budget, seed
        )

    async def _explore(
        self,
        simulator: Simulator,
        tasks: Sequence[Task],
        counts: Mapping[str, int],
        demonstrations: Sequence[Trajectory],
        attributor: Attributor | None,
    ) -> list[Attribution]:
        """Play from initial states, and from states of the demonstrations that the attributor requests.

        Returns:
            A verdict for each demonstration that was attributed, in their order.
        """
        settings = self.variant.explore
        initial = gather(simulator.initial(task, counts[task.id]) for task in tasks)
        if attributor is None or settings.attribute == "none":
            await initial
            return []
        chosen = to_attribute(demonstrations, simulator.rule, settings)
        failed: list[AttributorFailure] = []
        _, attributions = await asyncio.gather(
            initial, gather(try_to_attribute(attributor, trajectory, simulator, failed) for trajectory in chosen)
        )
        check_attributions(attributor, len(attributions), failed)
        return attributions
