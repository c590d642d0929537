"""Names of trajectories: unique within a run, and the same whenever it is repeated."""

from __future__ import annotations

from eef_framework.records import Task


def expert_id(expert: str, task: Task) -> str:
    """Return the id of an expert's demonstration of a task."""
    return f"expert/{expert}/{task.id}"


def simulation_id(phase: str, source: str, state: int, index: int) -> str:
    """Return the id of an episode of the agent.

    Args:
        phase: what it is played for, such as `eef/1` (method and iteration) or `evaluate/clone`.
        source: id of the task, or for an episode from an intermediate state, of the trajectory it sets out from.
        state: number of replayed expert actions; 0 for episodes from the task's start.
        index: which of the episodes from this state.
    """
    return f"{phase}/{source}/s{state}/{index}"
