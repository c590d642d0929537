"""Recorded demonstrations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from eef_framework.errors import ConfigError, EefError, EnvironmentFailure, ExpertFailure, ReplayDivergence, boundary
from eef_framework.interfaces import Environment, Expert, replay
from eef_framework.records import Task, Trajectory, encodable
from eef_framework.rollout import as_they_end, expert_id
from eef_framework.runs import read_rows


class RecordingExpert(Expert):
    """Yields recorded trajectories: of another run, of another expert, or imported."""

    name: ClassVar[str] = "recording"
    renamed: ClassVar[Mapping[str, str]] = {"at_once": "concurrency"}

    file: Path
    """A file of trajectories, as recorded by runs (.jsonl or .jsonl.gz). If a task has several, the last one without an
    error is used."""
    replay: bool = False
    """Whether to replay every recording and compare observations and rewards. A recording that differs becomes an
    error."""
    concurrency: int = Field(default=8, gt=0)
    """Number of concurrent replays, if the environment's steps are slow."""

    def preflight(self, environment: Environment | None = None) -> None:
        """Check that the file exists and begins with a trajectory.

        Raises:
            ConfigError: the file doesn't exist.
            CorruptFile: it begins with something else.
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
            ExpertFailure: a task has no recording, or had another fingerprint when it was recorded.
            CorruptFile: a line of the file isn't a trajectory.
        """
        recorded = self._recordings(tasks)
        limit = asyncio.Semaphore(self.concurrency)

        async def demonstration(task: Task) -> Trajectory:
            async with limit:
                trajectory = self._as_demonstration(recorded[task.id], task)
                if not self.replay:
                    return trajectory
                if environment.blocking:
                    return await asyncio.to_thread(_replayed, environment, trajectory)
                return _replayed(environment, trajectory)

        async for trajectory in as_they_end(demonstration(task) for task in tasks):
            yield trajectory

    def _recordings(self, tasks: Sequence[Task]) -> dict[str, Trajectory]:
        """Return the recordings of the tasks, by task."""
        wanted = {task.id: task for task in tasks}
        rows = read_rows(self.file, Trajectory)
        found = {row.task.id: row for row in rows if row.task.id in wanted and not row.lost}
        missing = [task for task in wanted if task not in found]
        if missing:
            raise ExpertFailure(
                f"{self.file} has no demonstration of {len(missing)} of {len(tasks)} tasks, such as {missing[0]!r}",
                "Ask for tasks that were recorded (collect.tasks, evaluate.expert: false), or use the file as "
                "collect.trajectories, which uses those that it has.",
                code="tasks-missing",
                missing=missing,
            )
        changed = [task for task in wanted if found[task].task.fingerprint != wanted[task].fingerprint]
        if changed:
            raise ExpertFailure(
                f"task {changed[0]!r} has another fingerprint in {self.file} ({len(changed)} of {len(tasks)} tasks do)",
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
            origin=None,  # its first steps may have been taken by another actor, but all belong to the demonstration
            info={**recorded.info, "recording": recorded.id, "actor": recorded.actor},
        )
        return demonstration


def _replayed(environment: Environment, trajectory: Trajectory) -> Trajectory:
    """Return a trajectory unchanged if its replay is the same, otherwise as an error."""
    try:
        with (
            boundary(EnvironmentFailure, environment, f"replaying {trajectory.id!r}"),
            replay(environment, trajectory.task, trajectory.initial, trajectory.steps) as session,
        ):
            ended = trajectory.ending in ("terminated", "truncated")  # otherwise the reward isn't the environment's
            if ended and abs(session.reward - trajectory.reward) > 1e-9:
                raise ReplayDivergence(
                    f"the replay of task {trajectory.task.id!r} has reward {session.reward:g}, the recording "
                    f"{trajectory.reward:g}",
                    "The environment's version or data changed since the recording.",
                )
    except EefError as failure:
        failed: Trajectory = trajectory.changed(ending="error", error=encodable(str(failure)))
        return failed
    return trajectory
