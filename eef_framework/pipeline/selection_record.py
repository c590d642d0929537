"""Records what selection and filters did with each trajectory, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from eef_framework.filters.trajectories import by_trajectory
from eef_framework.pipeline.preference import Solution
from eef_framework.records import Conversation, Example, Selected, Trajectory


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


def pair_rows(
    attempts: Iterable[Trajectory], made: Sequence[Example], kept: Sequence[Example], dropped_by: Mapping[str, str]
) -> Iterator[Selected]:
    """Yield a row for each attempt of the expert and the agent, in order. Episodes that were lost are none.

    Args:
        attempts: their trajectories.
        made: all pairs.
        kept: the pairs that passed the filters.
        dropped_by: id of each preferred trajectory without a pair any more -> the filter that dropped its last one.
    """
    filters = {name: dropped_by.get(pair.trajectory, "") for pair in made for name in _sides(pair)}
    learned: dict[str, dict[str, set[int]]] = {}
    weights: dict[str, float] = defaultdict(float)
    for pair in kept:
        for name, (source, states, messages) in _sides(pair).items():
            learned.setdefault(name, {}).setdefault(source, set()).update(states)
            weights[name] += sum(message.weight for message in messages)
    for trajectory in attempts:
        name = trajectory.id
        if trajectory.lost:
            continue
        trained = set().union(*learned.get(name, {}).values())
        yield Selected(
            trajectory=name,
            task=trajectory.task.id,
            source=min(learned.get(name, {}), default=""),
            outcome="learned" if name in learned else "filtered" if name in filters else "not-selected",
            reason="" if name in learned else filters.get(name, "no pair has it"),
            trained=tuple(sorted(trained)),
            masked=tuple(sorted(set(range(len(trajectory.steps))) - trained)) if name in learned else (),
            weight=round(weights.get(name, 0.0), 6),
        )


def _sides(pair: Example) -> dict[str, tuple[str, Sequence[int], Conversation]]:
    """Return id of each attempt of a pair -> what it is, its states that get loss, and its conversation."""
    info = cast("dict[str, Any]", pair.info)
    return {
        pair.trajectory: ("pair", pair.states, pair.messages),
        info["rejected"]: ("rejected", info["rejected_states"], pair.rejected),
    }


def _selected(trajectory: Trajectory, solution: Solution, examples: Sequence[Example], filter_: str) -> Selected:
    kept = range(len(trajectory.steps)) if solution.kept is None else solution.kept
    trained = {state for example in examples for state in example.states}
    return Selected(
        trajectory=trajectory.id,
        task=trajectory.task.id,
        source=solution.source,
        outcome="learned" if examples else "filtered",
        reason="" if examples else filter_ or "no turn gets loss",
        trained=tuple(sorted(trained)),
        masked=tuple(index for index in kept if index not in trained),
        left_out=tuple(sorted(set(range(len(trajectory.steps))).difference(kept))),
        weight=round(sum(message.weight for example in examples for message in example.messages), 6),
    )
