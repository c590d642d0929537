"""Evaluation of the agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eef_framework.config.schema import TaskList
from eef_framework.evaluation.evaluate import evaluation_of
from eef_framework.interfaces import Component, ProgressCallback
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.costs import cost_of
from eef_framework.pipeline.episodes import (
    check_errors,
    gather,
    latest,
    lost_workers,
    mean_results,
    warn_of_answers,
    with_others,
)
from eef_framework.pipeline.phase import Phase, PhaseResult, Planned, Weights, checkpoint_of, model_id
from eef_framework.pipeline.phases.initial_checkpoint import InitialCheckpoint
from eef_framework.pipeline.progress import Counter
from eef_framework.pipeline.rows import Rows
from eef_framework.records import Evaluation, Task, Trajectory
from eef_framework.rollout import Simulator
from eef_framework.seeds import derive


@dataclass(kw_only=True)
class Evaluate(Phase):
    """Lets the agent play every task once.

    Attributes:
        tasks: the tasks to play.
        weights: the agent's; None for a policy without weights.
        played: the file to write. Existing episodes are kept; those of other tasks come last.
        name: first part of the episodes' ids, such as `evaluate/eef/1`.
        actor: the agent's name in the records.
    """

    title: str = ""
    tasks: TaskList
    weights: Weights | None
    played: Rows[Trajectory]
    name: str = "evaluate"
    actor: str = "agent/evaluate"

    charged: bool = False

    def __post_init__(self) -> None:
        self.title = self.title or f"agent on {self.tasks.split} tasks"

    @property
    def answers_folder(self) -> Path:
        """A folder next to the file that is written."""
        return self.played.path.with_name(f"{self.played.path.name}.answers")

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Play what is missing."""
        tasks, path = context.tasks(self.tasks), self.played.path
        with self.episodes(context, path, tasks, "policy", "format") as rows:
            rule = context.config.success
            counter = Counter(progress, len(tasks), rule, rows.rows)
            seed = derive(context.config.seed, "evaluate")
            setup = context.episodes(checkpoint_of(self.weights), self.actor, context.config.evaluate.sampling)
            with context.playing(setup) as play:
                simulator = Simulator(play, rows, self.name, seed, rule, counter.add)
                context.wait_for(simulator.until(gather(simulator.initial(task, 1) for task in tasks)))
            found = _of_tasks(rows.rows, tasks)
            counter.finish(found)
            check_errors(rows.rows)
            self.played.rewrite(rows, with_others(found, rows.rows))
        if not isinstance(self.weights, InitialCheckpoint):
            warn_of_answers(found, context.format, trained=self.weights is not None)
        cost, figures = cost_of(found, by_agent=True), mean_results(found, rule)
        return PhaseResult(cost, {path.name: len(found)}, lost_workers(play), figures)

    def recorded_inputs(self, context: RunContext) -> dict[str, Any]:
        """Return how answers are sampled, and a digest of the model."""
        return {"sampling": context.config.evaluate.sampling.model_dump(), "model": model_id(self.weights)}

    def evaluation(self, context: RunContext) -> Evaluation:
        """Return the agent's results, once the phase is done."""
        found = _of_tasks(self.played.read(), context.tasks(self.tasks))
        return evaluation_of("agent", found, context.config.success, self.tasks.split)

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return environment, policy and executor."""
        return context.environment, context.policy, context.executor

    def planned(self, context: RunContext) -> Planned:
        """Return the number of tasks."""
        return Planned(len(context.tasks(self.tasks)))


def _of_tasks(rows: Sequence[Trajectory], tasks: Sequence[Task]) -> list[Trajectory]:
    found = latest(rows, key=lambda row: row.task.id)
    return [found[task.id] for task in tasks]
