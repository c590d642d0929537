"""Ids of trajectories: unique within a run, and the same when the run is repeated."""

from __future__ import annotations

from eef_framework.records import State, Task, fingerprint


def expert_id(expert: str, task: Task, attempt: int | None = None) -> str:
    """Return the id of an expert's demonstration of a task.

    Args:
        expert: the expert's name.
        task: the task.
        attempt: number of the demonstration, for an expert that gives several of each task.
    """
    return f"expert/{expert}/{task.id}" if attempt is None else f"expert/{expert}/{task.id}/{attempt}"


def simulation_id(phase: str, source: str, state: State, index: int) -> str:
    """Return the id of an episode of the agent.

    Args:
        phase: the phase it is played for, such as `eef/1` (method and iteration) or `evaluate/clone`.
        source: id of the task, or for an episode from an intermediate state, of the trajectory it starts from.
        state: the state it starts from.
        index: index among the episodes from this state.
    """
    other = f"+{fingerprint(repr(state.inserted))[:8]}" if state.inserted else ""
    return f"{phase}/{source}/s{state.length}{other}/{index}"
