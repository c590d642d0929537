"""An expert's demonstrations, with metadata from the framework."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from eef_framework.errors import ExpertFailure
from eef_framework.interfaces import Environment, Expert
from eef_framework.records import Task, Trajectory
from eef_framework.rollout.ids import expert_id


async def demonstrations(
    expert: Expert, environment: Environment, tasks: Sequence[Task], seed: int
) -> AsyncIterator[Trajectory]:
    """Yield an expert's demonstrations as they finish, each with its id, actor and task.

    Raises:
        ExpertFailure: it yielded something other than trajectories of the requested tasks.
    """
    owed = {task.id: task for task in tasks}
    name = expert.component_name()
    async for trajectory in expert.demonstrate(environment, tasks, seed):
        task = owed.get(trajectory.task.id) if isinstance(trajectory, Trajectory) else None
        if task is None:
            given = f"task {trajectory.task.id!r}" if isinstance(trajectory, Trajectory) else f"{trajectory!r:.100}"
            raise ExpertFailure(
                f"expert {name!r} demonstrated {given}, which it wasn't asked for",
                "Yield one Trajectory for each of the tasks that demonstrate() is given.",
                code="not-asked-for",
            )
        yield trajectory.changed(id=expert_id(name, task), actor=f"expert/{name}", task=task)
