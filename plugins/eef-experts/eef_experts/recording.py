"""Recorded demonstrations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from eef_framework.errors import ConfigError, EefError, EnvironmentFailure, ExpertFailure, ReplayDivergence, boundary
from eef_framework.interfaces import Environment, Expert, replay
from eef_framework.records import Task, Trajectory
from eef_framework.rollout import expert_id
from eef_framework.rollout.concurrency import as_they_end
from eef_framework.runs import read_rows


class RecordingExpert(Expert):
    """Plays back a file of trajectories: of another run, of another expert, imported from elsewhere."""

    name: ClassVar[str] = "recording"

    file: Path
    """A file of trajectories, as runs record them (.jsonl, or .jsonl.gz). Of several for one task, the last
    counts; those that ended in an error don't."""
    replay: bool = False
    """Replay every recording and compare observations and rewards. A recording that differs is recorded as an error."""
    at_once: int = Field(default=8, gt=0)
    """Number of recordings replayed concurrently, if the environment's steps are slow."""

    def preflight(self, environment: Environment | None = None) -> None:
        """Check whether the file is there, and begins with a trajectory.

        Raises:
            ConfigError: it isn't there.
            CorruptFile: it holds something else.
        """
        if not self.file.is_file():
            raise ConfigError(
                f"there is no file {str(self.file)!r}",
                "Check the expert's setting `file`.",
                code="no-such-file",
                path=str(self.file),
            )
        next(read_rows(self.file, Trajectory), None)

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Yield the recordings of the tasks.

        Raises:
            ExpertFailure: a task has no recording, or means something else there.
            CorruptFile: a line of the file isn't a trajectory.
        """
        recorded = self._recordings(tasks)
        slots = asyncio.Semaphore(self.at_once)

        async def play_back(task: Task) -> Trajectory:
            async with slots:
                trajectory = self._as_demonstration(recorded[task.id], task)
                if not self.replay:
                    return trajectory
                if environment.blocking:
                    return await asyncio.to_thread(_compared, environment, trajectory)
                return _compared(environment, trajectory)

        async for trajectory in as_they_end(play_back(task) for task in tasks):
            yield trajectory

    def _recordings(self, tasks: Sequence[Task]) -> dict[str, Trajectory]:
        """Return the recordings of the tasks, by task."""
        wanted = {task.id: task for task in tasks}
        rows = read_rows(self.file, Trajectory)
        found = {row.task.id: row for row in rows if row.task.id in wanted and row.ending != "error"}
        missing = [task for task in wanted if task not in found]
        if missing:
            raise ExpertFailure(
                f"{self.file} has no demonstration of {len(missing)} of {len(tasks)} tasks, such as {missing[0]!r}",
                "Ask for tasks that were recorded (collect.tasks, evaluate.expert: false), or use the file as "
                "collect.trajectories, which takes what it has.",
                code="tasks-missing",
                missing=missing,
            )
        changed = [task for task in wanted if found[task].task.fingerprint != wanted[task].fingerprint]
        if changed:
            raise ExpertFailure(
                f"task {changed[0]!r} means something else in {self.file} ({len(changed)} of {len(tasks)} tasks do)",
                "Set the environment up as it was when the trajectories were recorded.",
                code="other-world",
                tasks=changed,
            )
        return found

    def _as_demonstration(self, recorded: Trajectory, task: Task) -> Trajectory:
        name = self.component_name()
        demonstration: Trajectory = recorded.changed(
            id=expert_id(name, task),
            actor=f"expert/{name}",
            origin=None,  # regardless of who took its first steps, they are demonstrated now
            info={**recorded.info, "recording": recorded.id, "actor": recorded.actor},
        )
        return demonstration


def _compared(environment: Environment, trajectory: Trajectory) -> Trajectory:
    """Return a trajectory as it is if the environment agrees, else as an error."""
    try:
        who = f"environment {environment.component_name()!r}"
        with (
            boundary(EnvironmentFailure, who, f"replaying {trajectory.id!r}"),
            replay(environment, trajectory.task, trajectory.initial, trajectory.steps) as session,
        ):
            ended = trajectory.ending in ("terminated", "truncated")  # else what counts isn't the environment's reward
            if ended and abs(session.reward - trajectory.reward) > 1e-9:
                raise ReplayDivergence(
                    f"replay of task {trajectory.task.id!r} was rewarded with {session.reward:g}, the recording with "
                    f"{trajectory.reward:g}",
                    "The environment's version or data changed since the recording.",
                )
    except EefError as failure:
        failed: Trajectory = trajectory.changed(ending="error", error=str(failure))
        return failed
    return trajectory
