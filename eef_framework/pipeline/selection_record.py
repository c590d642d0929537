"""Records what selection and filters did with each success, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from eef_framework.filters.trajectories import by_trajectory
from eef_framework.pipeline.preference import Solution
from eef_framework.records import Example, Selected, Trajectory


def selected_rows(
    successes: Iterable[Trajectory],
    solutions: Sequence[Solution],
    left_out: Mapping[str, str],
    kept: Sequence[Example],
    dropped_by: Mapping[str, str],
) -> Iterator[Selected]:
    """Yield a row for each success, in order.

    Args:
        successes: all successes of the expert and the agent.
        solutions: those that were selected, shortened.
        left_out: id of each other success -> why it wasn't selected.
        kept: the examples that passed the filters.
        dropped_by: id of each trajectory without an example -> the filter that dropped its last one.
    """
    selected = {solution.trajectory.id: solution for solution in solutions}
    examples = by_trajectory(kept)
    for trajectory in successes:
        name, task = trajectory.id, trajectory.task.id
        if name in selected:
            yield _selected(trajectory, selected[name], examples.get(name, ()), dropped_by.get(name, ""))
        elif name in left_out:
            yield Selected(trajectory=name, task=task, outcome="not-selected", reason=left_out[name])


def _selected(trajectory: Trajectory, solution: Solution, examples: Sequence[Example], filter_: str) -> Selected:
    kept = range(len(trajectory.steps)) if solution.kept is None else solution.kept
    trained = tuple(sorted({state for example in examples for state in example.states}))
    return Selected(
        trajectory=trajectory.id,
        task=trajectory.task.id,
        source=solution.source,
        outcome="learned" if examples else "filtered",
        reason="" if examples else filter_ or "no turn gets loss",
        trained=trained,
        masked=tuple(index for index in kept if index not in set(trained)),
        left_out=tuple(sorted(set(range(len(trajectory.steps))).difference(kept))),
        weight=round(sum(message.weight for example in examples for message in example.messages), 6),
    )
