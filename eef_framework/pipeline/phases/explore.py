"""Phase 2, exploration: the agent plays from initial states and from states of the expert's demonstrations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eef_framework.config.schema import Budget, Reflection, RunConfig, TaskList
from eef_framework.errors import AttributorFailure
from eef_framework.evaluation.spending import spending_by_task
from eef_framework.formats import explorable
from eef_framework.interfaces import Attributor, Component, PlayEpisode, ProgressCallback, Sampling
from eef_framework.pipeline.adaptive import AdaptiveExploration
from eef_framework.pipeline.attribution import (
    check_attributions,
    most_of,
    plan_of,
    planned_by_task,
    to_attribute,
    try_to_attribute,
    warn_of_unknown,
)
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
from eef_framework.pipeline.expected_costs import expected_exploration_cost
from eef_framework.pipeline.phase import Phase, PhaseResult, Planned, Weights
from eef_framework.pipeline.phases.initial_checkpoint import InitialCheckpoint
from eef_framework.pipeline.progress import Counter
from eef_framework.pipeline.reflection import (
    Reflecting,
    check_reflections,
    comparisons,
    count_without_action,
    counts_of,
    is_usable,
)
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.schedule import per_task
from eef_framework.pipeline.solutions import Exploration
from eef_framework.pipeline.world_model import expert_states
from eef_framework.records import Attribution, Cost, Spending, State, Task, Trajectory
from eef_framework.rollout import Simulator, continuation_id, continuations
from eef_framework.rollout.episode_costs import cost_of_episode
from eef_framework.runs import FILES, JsonlFile, content_id
from eef_framework.seeds import derive


class ExplorationFiles:
    """Files of an exploration.

    Args:
        folder: the folder.

    Attributes:
        simulations: all its episodes, from initial and from intermediate states.
        attributions: its verdicts; the file doesn't exist if nothing was attributed.
        advice: the expert's actions in states of the agent's episodes; the file doesn't exist if it wasn't asked.
        alternatives: the agent's actions in states of the expert's successes; the file doesn't exist if none was tried.
        reflections: the expert's actions there, with reflections; the file doesn't exist if none was wanted.
    """

    def __init__(self, folder: Path) -> None:
        self.simulations = Rows(folder / FILES.simulations, Trajectory)
        self.attributions = Rows(folder / FILES.attributions, Attribution)
        self.advice = Rows(folder / FILES.advice, Trajectory)
        self.alternatives = Rows(folder / FILES.alternatives, Trajectory)
        self.reflections = Rows(folder / FILES.reflections, Trajectory)

    @property
    def all(self) -> tuple[Rows[Any], ...]:
        """All files."""
        return self.simulations, self.attributions, self.advice, self.alternatives, self.reflections

    def read(self) -> Exploration:
        """Return what they have, without single actions that were lost, and reflections that can't be used."""
        verdicts = {verdict.trajectory: verdict for verdict in self.attributions.read_if_there()}
        advice, alternatives, reflections = (
            [row for row in rows.read_if_there() if row.ending != "error"]
            for rows in (self.advice, self.alternatives, self.reflections)
        )
        usable = [row for row in reflections if is_usable(row)]
        return Exploration(self.simulations.read(), verdicts, advice, alternatives, usable)


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
        rule, settings = context.config.success, self.variant.explore
        tasks = self._tasks(context, demonstrations)
        attributor = context.attributor(self.variant)
        checkpoint = self.weights.checkpoint if self.weights else None
        path = self.files.simulations.path
        with self._open(context, path, tasks) as rows:
            counts = self._from_start(context, demonstrations, tasks)
            expected = self._expected(context, demonstrations, tasks)
            expected += settings.alternatives * len(expert_states(demonstrations, rule))
            counter = Counter(progress, expected, rule, rows.rows)
            seed = derive(context.config.seed, "explore", self.iteration)
            with context.playing(context.episodes(checkpoint, f"agent/{self.name}", settings.sampling)) as play:
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
                adaptive = self._adaptive(simulator, tasks, demonstrations, attributor, seed)
                exploration = (
                    adaptive.play() if adaptive else self._explore(simulator, tasks, counts, demonstrations, attributor)
                )
                attributions = context.wait_for(simulator.until(exploration))
                if settings.alternatives:
                    self._try_alternatives(context, tasks, demonstrations, play, counter)
            check_errors(rows.rows)
            found = in_order(without_replaced(rows.rows))
            self.files.simulations.rewrite(rows, found)
        if not isinstance(self.weights, InitialCheckpoint):
            warn_of_answers(found, context.format, trained=self.weights is not None)
        if attributions or self.files.attributions.path.exists():
            self.files.attributions.write(attributions)
            warn_of_unknown(attributions)
        cost, counts_of_rows = with_attributions(cost_of(found, by_agent=True), attributions), {path.name: len(found)}
        info = lost_workers(play) | ({"exploration": adaptive.info()} if adaptive else {})
        if settings.alternatives:
            tried = self.files.alternatives.read()
            cost += cost_of(tried, by_agent=True)
            counts_of_rows[self.files.alternatives.path.name] = len(tried)
        if settings.reflection is not None:
            cost += self._reflect(context, settings.reflection, demonstrations)
            reflections = self.files.reflections.read()
            counts_of_rows[self.files.reflections.path.name] = len(reflections)
            answers = [row for row in tried if row.ending != "error"]
            without = count_without_action(demonstrations, answers, rule)
            info["reflections"] = {**counts_of(reflections), "no_action": without}
        if settings.advice:
            cost += self._ask_expert(context, found)
        return PhaseResult(cost, counts_of_rows, info, mean_results(found, rule))

    def _open(self, context: RunContext, path: Path, tasks: Sequence[Task]) -> JsonlFile[Trajectory]:
        """Open a file of the agent's episodes to continue it."""
        checkpoint = self.weights.checkpoint if self.weights else None
        given = {} if self.stage else {"demonstrations": content_id(self.demonstrations.path)}
        given |= {} if self.stage else {"model": content_id(checkpoint.path if checkpoint else None)}
        experts = ["expert"] if self.variant.explore.advice else []
        parts = ("policy", "format", "success", "attributor", "explore", *experts)
        return self.episodes(context, path, tasks, *parts, **given)

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
        seed = derive(context.config.seed, "explore", self.iteration, "alternatives")
        with self._open(context, self.files.alternatives.path, tasks) as rows:
            name = f"{self.name}/alternatives"
            simulator = Simulator(play, rows, name, seed, rule, played=counter.add, steps=1)
            states = expert_states(demonstrations, rule)
            tried = gather(simulator.simulate(state, settings.alternatives) for state in states)
            context.wait_for(simulator.until(tried))
            check_errors(rows.rows)
            self.files.alternatives.rewrite(rows, in_order(without_replaced(rows.rows)))

    def _reflect(self, context: RunContext, settings: Reflection, demonstrations: Sequence[Trajectory]) -> Cost:
        """Have a reflection written for every state in which the agent tried something else; keep what is known."""
        tried = [row for row in self.files.alternatives.read() if row.ending != "error"]
        compared = comparisons(demonstrations, tried, context.config.success)
        judge = context.judge(settings)
        with JsonlFile(self.files.reflections.path, Trajectory) as rows, judge.open_policy() as policy:
            reflecting = Reflecting(
                policy,
                judge.component_name(),
                f"{self.name}/reflections",
                context.format,
                context.environment.instructions,
                Sampling(temperature=settings.temperature, max_tokens=settings.max_tokens),
                derive(context.config.seed, "explore", self.iteration, "reflections"),
                context.config.limits.concurrency,
            )
            found = context.wait_for(reflecting.write(compared, rows.rows, rows.append))
            self.files.reflections.rewrite(rows, found)
        if expert_states(demonstrations, context.config.success):
            check_reflections(found, tried)
        return cost_of(found).changed(episodes=0, steps=0)

    def _ask_expert(self, context: RunContext, episodes: Sequence[Trajectory]) -> Cost:
        """Ask the expert for its action in every state of the episodes from initial states; keep what is known."""
        states: dict[tuple[str, tuple[str, ...]], State] = {}
        for episode in episodes:
            if episode.origin is None and episode.ending != "error":
                for state in range(len(episode.steps)):
                    states.setdefault((episode.task.id, episode.actions[:state]), episode.at(state))
        ids = {continuation_id(context.expert.component_name(), state): state for state in states.values()}
        with JsonlFile(self.files.advice.path, Trajectory) as rows:
            known = {row.id: row for row in rows.rows if row.ending != "error"}
            missing = [state for id, state in ids.items() if id not in known]

            async def ask() -> None:
                seed = derive(context.config.seed, "collect")  # the expert that demonstrated
                async for row in continuations(context.expert, context.environment, missing, seed, steps=1):
                    rows.append(row)
                    known[row.id] = row

            context.wait_for(ask())
            check_errors([known[id] for id in ids])
            self.files.advice.rewrite(rows, [known[id] for id in ids])
        return cost_of(self.files.advice.read()).changed(episodes=0)

    def planned(self, context: RunContext) -> Planned:
        """Return the maximum number of episodes: exact if the demonstrations exist already."""
        return self._planned_episodes(context) + self._planned_alternatives(context)

    def _planned_alternatives(self, context: RunContext) -> Planned:
        each = self.variant.explore.alternatives
        demonstrations = self._known_demonstrations(context) if each else []
        if demonstrations is not None:
            tries = each * len(expert_states(demonstrations, context.config.success))
            return Planned(tries, single=tries)
        if context.longest_episode is None:
            return Planned(None)
        tries = each * context.longest_episode * len(self._tasks(context, ()))
        return Planned(tries, at_most=True, single=tries)

    def _planned_episodes(self, context: RunContext) -> Planned:
        settings, attributor = self.variant.explore, context.attributor(self.variant)
        if settings.matched and self.matches is not None:
            return self.matches.planned(context)
        if settings.schedule is not None:
            return self._planned_by_budget(context, settings.schedule.budget)
        demonstrations = self._known_demonstrations(context)
        if demonstrations is not None:
            tasks = self._tasks(context, demonstrations)
            if attributor is None or plan_of(attributor, 1) is not None or not self._looks_beyond_starts():
                return Planned(self._expected(context, demonstrations, tasks))
            initial = sum(self._from_start(context, demonstrations, tasks).values())
            chosen = to_attribute(demonstrations, context.config.success, settings)
            bounds = [most_of(attributor, len(row.steps), settings.simulations) for row in chosen]
            return sum((Planned(bound, at_most=True) for bound in bounds), Planned(initial, at_most=True))
        tasks = context.tasks(self.tasks) if self.tasks else ()
        if attributor is None or not self._looks_beyond_starts():
            return Planned(len(tasks) * settings.simulations)
        further = _most_simulations(attributor, context.longest_episode, settings.simulations)
        return Planned(None if further is None else len(tasks) * (settings.simulations + further), at_most=True)

    def expected_cost(self, context: RunContext) -> Cost | None:
        """Return an estimate of what the expert's advice, the attributor's judge and reflections cost."""
        known = self._known_demonstrations(context)
        tasks = self._tasks(context, known or ())
        return expected_exploration_cost(context, self.variant, tasks, known, self._longest(context))

    def _longest(self, context: RunContext) -> list[int] | None:
        """Return the greatest length of every demonstration that isn't known yet; None if there is no limit."""
        if context.longest_episode is None or self.tasks is None:
            return None
        each = 1 if context.config.expert is None else context.expert.demonstrations_per_task
        return [context.longest_episode] * (len(context.tasks(self.tasks)) * each)

    def _planned_by_budget(self, context: RunContext, budget: Budget) -> Planned:
        if budget.simulations is None:
            return Planned(None)
        known = () if self.tasks else self.demonstrations.read_if_there()
        return Planned(int(budget.simulations * len(self._tasks(context, known))), at_most=True)

    def _adaptive(
        self,
        simulator: Simulator,
        tasks: Sequence[Task],
        demonstrations: Sequence[Trajectory],
        attributor: Attributor | None,
        seed: int,
    ) -> AdaptiveExploration | None:
        """Return the exploration that adapts, if there is a schedule."""
        settings = self.variant.explore
        if settings.schedule is None:
            return None
        budget = settings.schedule.budget
        if settings.matched and self.matches is not None:
            budget = per_task(self.matches.spent(), len(tasks), budget)
        return AdaptiveExploration(
            simulator, tasks, demonstrations, attributor, settings, settings.schedule, budget, derive(seed, "schedule")
        )

    def _known_demonstrations(self, context: RunContext) -> Sequence[Trajectory] | None:
        """Return the demonstrations if they are known before the run starts."""
        source = context.config.collect.trajectories
        if self.demonstrations.path.exists() and (self.stage is None or source is not None):
            return self.demonstrations.read()
        if self.stage is None or source is None:
            return None
        wanted = {task.id for task in context.tasks(self.tasks)} if self.tasks else set()
        return [row for row in Rows(Path(source).expanduser(), Trajectory).read() if row.task.id in wanted]

    def _looks_beyond_starts(self) -> bool:
        return self.variant.explore.attribute != "none" or self.variant.explore.matched

    def _tasks(self, context: RunContext, demonstrations: Sequence[Trajectory]) -> Sequence[Task]:
        if self.tasks is not None:
            return context.tasks(self.tasks)
        return list({row.task.id: row.task for row in demonstrations}.values())

    def _expected(self, context: RunContext, demonstrations: Sequence[Trajectory], tasks: Sequence[Task]) -> int:
        """Return the number of episodes, without those not known in advance."""
        settings, attributor = self.variant.explore, context.attributor(self.variant)
        if settings.schedule is not None:
            return round((settings.schedule.budget.simulations or settings.simulations) * len(tasks))
        initial = sum(self._from_start(context, demonstrations, tasks).values())
        if attributor is None or settings.attribute == "none" or plan_of(attributor, 1) is None:
            return initial
        chosen = to_attribute(demonstrations, context.config.success, settings)
        return initial + sum(planned_by_task(chosen, attributor, settings).values())

    def _from_start(
        self, context: RunContext, demonstrations: Sequence[Trajectory], tasks: Sequence[Task]
    ) -> dict[str, int]:
        """Return task id -> number of episodes from its initial state."""
        settings = self.variant.explore
        plain = {task.id: settings.simulations for task in tasks}
        if not settings.matched or settings.schedule is not None:
            return plain
        if self.matches is not None:
            spent = self.matches.spent()
            return {task: spent[task].simulations if task in spent else count for task, count in plain.items()}
        attributor = context.attributor(self.variant)
        further = planned_by_task(demonstrations, attributor, settings) if attributor else {}
        return {task: count + further.get(task, 0) for task, count in plain.items()}

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
