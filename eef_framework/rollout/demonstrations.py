"""An expert's demonstrations, with metadata from the framework."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from eef_framework.chat.format import tools_of
from eef_framework.errors import ExecutorFailure, ExpertFailure, WorkerLost
from eef_framework.interfaces import Environment, Executor, Expert
from eef_framework.records import Provenance, State, Task, Trajectory
from eef_framework.rollout.ids import expert_id, simulation_id
from eef_framework.rollout.resubmission import ATTEMPTS
from eef_framework.rollout.thread_executor import ThreadExecutor


async def demonstrations(
    expert: Expert, environment: Environment, tasks: Sequence[Task], seed: int, executor: Executor | None = None
) -> AsyncIterator[Trajectory]:
    """Yield an expert's demonstrations as they finish, each with its id, actor, task and provenance.

    If a worker of the executor is lost, it is asked again for the tasks that are missing.

    Raises:
        ExpertFailure: the expert yielded something other than trajectories of the requested tasks.
        ExecutorFailure: workers were lost several times in a row, without any demonstration in between.
    """
    executor = executor or ThreadExecutor()
    requested = {task.id: task for task in tasks}
    missing = {(task.id, attempt) for task in tasks for attempt in range(expert.demonstrations_per_task)}
    name, several = expert.component_name(), expert.demonstrations_per_task > 1
    lost_in_a_row = 0
    while missing:
        try:
            incomplete = {id for id, _ in missing}
            owed = [task for task in tasks if task.id in incomplete]
            async for trajectory in executor.demonstrate(expert, environment, owed, seed):
                task = requested.get(trajectory.task.id) if isinstance(trajectory, Trajectory) else None
                if task is None or trajectory.attempt >= expert.demonstrations_per_task:
                    raise _not_asked_for(name, trajectory)
                if (task.id, trajectory.attempt) not in missing:
                    continue  # of a task that was asked for again for its other attempts
                missing.remove((task.id, trajectory.attempt))
                lost_in_a_row = 0
                id = expert_id(name, task, trajectory.attempt if several else None)
                provenance = trajectory.provenance or provenance_of(expert, environment)
                yield trajectory.changed(id=id, actor=f"expert/{name}", task=task, provenance=provenance)
            return
        except WorkerLost as lost:
            lost_in_a_row += 1
            if lost_in_a_row == ATTEMPTS:
                raise ExecutorFailure(
                    f"executor {executor.component_name()!r} lost workers {ATTEMPTS} times in a row: {lost.message}",
                    "See the workers' logs, for example for lack of memory. Run the command again to continue.",
                    code="workers-lost",
                    attempts=ATTEMPTS,
                ) from lost


async def continuations(
    expert: Expert, environment: Environment, states: Sequence[State], seed: int, steps: int | None = None
) -> AsyncIterator[Trajectory]:
    """Yield an expert's continuations of the agent's episodes as they finish, each with its id, actor and provenance.

    Args:
        expert: an expert that can continue.
        environment: where to play.
        states: the states to continue from, all different.
        seed: determines what the expert does, together with the state.
        steps: maximum number of its own actions; None to play to the end.

    Raises:
        ConfigError: the expert can't continue.
        ExpertFailure: it yielded something other than trajectories from the requested states.
    """
    name = expert.component_name()
    owed = {_start(state.trajectory, state.length, state.task): state for state in states}
    async for trajectory in expert.continue_from(environment, states, seed, steps):
        origin = trajectory.origin if isinstance(trajectory, Trajectory) else None
        key = _start(origin.trajectory, origin.state, trajectory.task) if origin else ("", 0, trajectory.task.id)
        state = owed.pop(key, None)
        if state is None:
            raise _not_asked_for(name, trajectory)
        id = continuation_id(name, state)
        provenance = trajectory.provenance or provenance_of(expert, environment)
        yield trajectory.changed(id=id, actor=f"expert/{name}", task=state.task, provenance=provenance)
    if owed:
        raise ExpertFailure(
            f"expert {name!r} continued from {len(states) - len(owed)} of {len(states)} states",
            "Yield one Trajectory for each state that continue_from() is given, failures included.",
            code="continuations-missing",
            missing=len(owed),
        )


def continuation_id(expert: str, state: State) -> str:
    """Return the id of an expert's continuation from a state."""
    return simulation_id(f"expert/{expert}", state.trajectory or state.task.id, state, 0)


def _start(trajectory: str, state: int, task: Task) -> tuple[str, int, str]:
    return trajectory if state else "", state, task.id


def provenance_of(expert: Expert, environment: Environment) -> Provenance:
    """Return the part of a demonstration's provenance that doesn't depend on the time and the run."""
    settings: dict[str, Any] = expert.settings()
    for path in expert.free_settings():
        *above, last = path.split(".")
        part: Any = settings
        for name in above:
            part = part.get(name) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(last, None)
    tools = tools_of(environment) if environment.tools else ()
    return Provenance(expert=settings, environment=environment.settings(), tools=tools)


def _not_asked_for(expert: str, given: object) -> ExpertFailure:
    shown = f"task {given.task.id!r}, attempt {given.attempt}" if isinstance(given, Trajectory) else f"{given!r:.100}"
    return ExpertFailure(
        f"expert {expert!r} demonstrated {shown}, which it wasn't asked for",
        "Yield one Trajectory for each of the tasks that demonstrate() is given.",
        code="not-asked-for",
    )
