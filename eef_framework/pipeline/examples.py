"""Turns solutions into training examples, with the information that filters need about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from eef_framework.chat.format import ChatFormat
from eef_framework.pipeline.preference import Solution
from eef_framework.pipeline.solutions import Exploration
from eef_framework.records import Example, SuccessRule, Trajectory
from eef_framework.records.base import Info


def examples_of(
    solutions: Iterable[Solution],
    format: ChatFormat,
    instructions: str,
    tries: Mapping[str, Sequence[bool]] | None = None,
) -> list[Example]:
    """Return the training examples of solutions.

    Args:
        solutions: the trajectories to learn from.
        format: how they become conversations.
        instructions: the environment's instructions.
        tries: task id -> outcomes of the agent's episodes from its initial state.
    """
    return [
        _numbered_as_recorded(example, solution).changed(info=facts(solution.trajectory, tries or {}) | _gaps(solution))
        for solution in solutions
        for example in format.examples(
            solution.trajectory, solution.weights, instructions, solution.source, solution.failed
        )
    ]


def tries_by_task(explorations: Iterable[Exploration], rule: SuccessRule) -> dict[str, list[bool]]:
    """Return task id -> outcomes of the agent's episodes from its initial state, without those lost to failures."""
    found: dict[str, list[bool]] = defaultdict(list)
    for exploration in explorations:
        for episode in exploration.simulations:
            if episode.origin is None and not episode.lost:
                found[episode.task.id].append(rule.holds(episode))
    return dict(found)


def facts(trajectory: Trajectory, tries: Mapping[str, Sequence[bool]]) -> Info:
    """Return what filters may ask about an example's trajectory.

    Args:
        trajectory: what the example was made from.
        tries: task id -> outcomes of the agent's episodes from its initial state.
    """
    found: Info = {
        "kind": trajectory.task.kind,
        "steps": len(trajectory.steps),
        "invalid": sum(not step.valid for step in trajectory.steps),
        "unparsed": sum(not step.parsed for step in trajectory.steps),
    }
    if of_task := tries.get(trajectory.task.id):
        found |= {"tries": len(of_task), "solved": sum(of_task)}
    return found


def _gaps(solution: Solution) -> Info:
    if solution.kept is None:
        return {}
    return {"left_out": sorted({*range(max(solution.kept, default=0))}.difference(solution.kept))}


def _numbered_as_recorded(example: Example, solution: Solution) -> Example:
    """Return an example whose states are those of the recorded trajectory, although actions were left out."""
    if solution.kept is None:
        return example
    states = tuple(solution.kept[state] for state in example.states)
    name, _, _ = example.id.rpartition("@")
    return example.changed(states=states, id=f"{name}@{states[0]}")
