"""Phase 0: demonstrations by the expert."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from eef_framework.chat import ChatFormat
from eef_framework.chat.tool_calls import ACT, is_call
from eef_framework.config.schema import TaskList
from eef_framework.errors import EefWarning, ExpertFailure, PolicyFailure, boundary
from eef_framework.formats import explorable, is_imported, read_demonstrations
from eef_framework.interfaces import Component, Expert, ProgressCallback
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.costs import cost_of
from eef_framework.pipeline.episodes import check_errors, mean_results, with_others
from eef_framework.pipeline.expected_costs import expected_expert_cost
from eef_framework.pipeline.phase import Phase, PhaseResult, Planned
from eef_framework.pipeline.progress import Counter
from eef_framework.pipeline.rows import Rows
from eef_framework.records import Cost, Provenance, Task, Trajectory
from eef_framework.records.base import Info
from eef_framework.rollout import demonstrations
from eef_framework.rollout.episode_costs import with_lost_costs
from eef_framework.runs import JsonlFile, check_not_input
from eef_framework.seeds import derive


@dataclass(kw_only=True)
class Collect(Phase):
    """Collects demonstrations of tasks from the expert.

    Attributes:
        tasks: the tasks to demonstrate.
        demonstrations: the file to write. Existing rows are kept; those of other tasks come last.
        seed_names: names for deriving the seed.
    """

    title: str = "expert demonstrates"
    tasks: TaskList
    demonstrations: Rows[Trajectory]
    seed_names: tuple[str, ...] = ("collect",)

    @property
    def answers_folder(self) -> Path:
        """A folder next to the file that is written."""
        return self.demonstrations.path.with_name(f"{self.demonstrations.path.name}.answers")

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Ask the expert for the demonstrations that are missing."""
        expert = self.expert(context)  # refused before a file is made
        tasks, path = context.tasks(self.tasks), self.demonstrations.path
        with self.episodes(context, path, tasks, "expert") as rows:
            found = context.wait_for(
                _demonstrate(context, expert, tasks, rows, derive(context.config.seed, *self.seed_names), progress)
            )
            self.demonstrations.rewrite(rows, with_others(found, rows.rows))
        _warn_of_tools(context.format, found)
        figures = mean_results(found, context.config.success)
        return PhaseResult(cost_of(found), {path.name: len(found)}, figures=figures)

    def collected(self, context: RunContext) -> list[Trajectory]:
        """Return the demonstrations of the tasks, once the phase is done."""
        found = {(row.task.id, row.attempt): row for row in self.demonstrations.read()}
        return [found[key] for key in _keys(self.expert(context), context.tasks(self.tasks))]

    def expert(self, context: RunContext) -> Expert:
        """Return the expert that demonstrates."""
        return context.expert

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return environment, expert and executor."""
        return context.environment, context.expert, context.executor

    def planned(self, context: RunContext) -> Planned:
        """Return the number of demonstrations."""
        return Planned(len(context.tasks(self.tasks)) * self.expert(context).demonstrations_per_task)

    def expected_cost(self, context: RunContext) -> Cost | None:
        """Return the expert's estimate, from the first observations of a few tasks."""
        tasks = context.tasks(self.tasks)
        return expected_expert_cost(context, self.expert(context), tasks, len(tasks))


@dataclass(kw_only=True)
class CollectForEvaluation(Collect):
    """Lets the expert play the tasks of the evaluation, for the table."""

    charged: bool = False
    seed_names: tuple[str, ...] = ("evaluate", "expert")

    def expert(self, context: RunContext) -> Expert:
        """Return the expert that demonstrates each task once."""
        return context.expert.for_evaluation()


@dataclass(kw_only=True)
class ImportDemonstrations(Phase):
    """Reads demonstrations from a file of the user.

    Attributes:
        tasks: the tasks to read demonstrations for.
        source: the file to read.
        demonstrations: the file to write.
        explored: whether a later phase explores from them.
    """

    title: str = "expert demonstrates"
    tasks: TaskList
    source: Path
    demonstrations: Rows[Trajectory]
    explored: bool = False

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Copy the demonstrations of the tasks, and report those left out.

        Those of another format are verified by replay. They are all copied, since they can be trained on anyway.
        """
        check_not_input(self.demonstrations.path, self.source)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read_demonstrations(self.source, context.tasks(self.tasks), context.environment)
            self._warn_of_length(context, found)
            _warn_of_tools(context.format, found)
        for each in caught:
            warnings.warn(each.message, stacklevel=2)
        if self.explored and all(map(is_imported, found)):
            explorable(found, self.source)  # refused here, and not after cloning
        notes = [str(each.message) for each in caught if isinstance(each.message, EefWarning)]
        self.demonstrations.write(found)
        info: Info = {"notes": [*notes]} if notes else {}
        figures = mean_results(found, context.config.success)
        return PhaseResult(cost_of(found), {self.demonstrations.path.name: len(found)}, info, figures)

    def _warn_of_length(self, context: RunContext, found: Sequence[Trajectory]) -> None:
        limit = context.config.limits.steps
        longer = sum(len(row.steps) > limit for row in found) if limit is not None else 0
        if longer:
            message = EefWarning(
                f"{self.source}: {longer} of {len(found)} demonstrations are longer than limits.steps ({limit}) lets "
                "the agent play. They were recorded before, and aren't cut.",
                code="longer-than-limit",
                path=str(self.source),
                longer=longer,
                limit=limit,
            )
            warnings.warn(message, stacklevel=2)


def _warn_of_tools(format: ChatFormat, found: Sequence[Trajectory]) -> None:
    """Warn of actions that are written as calls of a tool that the agent isn't told of."""
    if format.style != "tools" or not format.tools:
        return
    steps = [step for each in found for step in each.steps if step.valid]
    others = [step.action for step in steps if not is_call(step.action, format.tools)]
    if others:
        message = EefWarning(
            f"no tool takes {len(others)} of the expert's {len(steps)} valid actions, such as {others[0]!r:.80}. Such "
            f"an action is written as a call of {ACT.name!r}, of which the agent isn't told. Declare a tool for it, or "
            f"correct the `action` of one: {', '.join(repr(tool.action) for tool in format.tools)}.",
            code="actions-without-tool",
            actions=len(others),
            first=others[0],
        )
        warnings.warn(message, stacklevel=3)


def _with_provenance(trajectory: Trajectory, context: RunContext) -> Trajectory:
    """Return a demonstration whose provenance has date, versions and success rule. That of a recording is kept."""
    known = trajectory.provenance or Provenance()
    if known.versions:
        return trajectory
    date = known.date or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = known.changed(date=date, versions=context.versions, success=context.config.success)
    stamped: Trajectory = trajectory.changed(provenance=made)
    return stamped


def _cut(trajectory: Trajectory, limit: int | None) -> Trajectory:
    """Return a demonstration truncated to the episode limit: if longer, it is unfinished and has no reward."""
    if limit is None or len(trajectory.steps) <= limit:
        return trajectory
    cut: Trajectory = trajectory.changed(steps=trajectory.steps[:limit], ending="step-limit", reward=0.0)
    return cut


@contextmanager
def _counted(tasks: Sequence[Task], rows: JsonlFile[Trajectory]) -> Iterator[None]:
    """Add to the message about a spent budget which tasks were demonstrated."""
    try:
        yield
    except PolicyFailure as failure:
        if failure.code != "budget-spent":
            raise
        done = {row.task.id for row in rows.rows if not row.lost}
        missing = [task.id for task in tasks if task.id not in done]
        raise PolicyFailure(
            f"{failure.message}. {len(tasks) - len(missing)} of {len(tasks)} tasks were demonstrated; the first "
            f"missing one is {missing[0]!r}",
            f"{failure.fix} Or use the demonstrations there are: set collect.trajectories to {str(rows.path)!r} in "
            "another run.",
            code=failure.code,
            **failure.details | {"missing": missing},
        ) from failure


async def _demonstrate(
    context: RunContext,
    expert: Expert,
    tasks: Sequence[Task],
    rows: JsonlFile[Trajectory],
    seed: int,
    progress: ProgressCallback,
) -> list[Trajectory]:
    """Collect demonstrations of the tasks that don't have a row yet.

    Returns:
        The demonstrations in the order of the tasks and attempts.

    Raises:
        ExpertFailure: the expert raised, or left tasks out.
        EnvironmentFailure: too many demonstrations ended in an error.
    """
    rule = context.config.success
    wanted = _keys(expert, tasks)
    have = {(row.task.id, row.attempt): row for row in rows.rows if not row.lost}
    lost = {(row.task.id, row.attempt): row for row in rows.rows if row.lost}
    incomplete = {task for task, attempt in wanted if (task, attempt) not in have}
    owed = [task for task in tasks if task.id in incomplete]
    counter = Counter(progress, len(wanted), rule, [have[key] for key in wanted if key in have])
    who = f"expert {expert.component_name()!r}"
    if owed:
        with _counted(tasks, rows), boundary(ExpertFailure, expert, f"demonstrating {len(owed)} tasks"):
            async for trajectory in demonstrations(expert, context.environment, owed, seed, context.executor):
                key = trajectory.task.id, trajectory.attempt
                if key in have:
                    continue  # of a task that was asked for again for its other attempts
                cut = _with_provenance(_cut(trajectory, context.config.limits.steps), context)
                cut = with_lost_costs(cut, lost.get(key))
                rows.append(cut)
                counter.add(cut)
    found = {(row.task.id, row.attempt): row for row in rows.rows}
    missing = list(dict.fromkeys(task for task, attempt in wanted if (task, attempt) not in found))
    if missing:
        raise ExpertFailure(
            f"{who} demonstrated {len(tasks) - len(missing)} of {len(tasks)} tasks; the first missing one is "
            f"{missing[0]!r}",
            "An expert has to yield one trajectory for each task (or `demonstrations_per_task`), failures included.",
            code="tasks-missing",
            missing=missing,
        )
    in_task_order = [found[key] for key in wanted]
    counter.finish(in_task_order)
    check_errors(in_task_order)
    return in_task_order


def _keys(expert: Expert, tasks: Sequence[Task]) -> list[tuple[str, int]]:
    """Return task and attempt of all demonstrations."""
    return [(task.id, attempt) for task in tasks for attempt in range(expert.demonstrations_per_task)]
