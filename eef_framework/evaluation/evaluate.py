"""Computes metrics of episodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from eef_framework.errors import EefError
from eef_framework.evaluation.intervals import mean, paired_difference, success_rate
from eef_framework.records import Difference, Estimate, Evaluation, SuccessRule, Trajectory


def evaluation_of(name: str, trajectories: Sequence[Trajectory], rule: SuccessRule, split: str) -> Evaluation:
    """Return the results of an actor on a list of tasks.

    Args:
        name: the actor's name in the table (`eef-2`).
        trajectories: one episode per task. Those lost to infrastructure failures are counted as `errors`, and
            in the estimates as failures with reward 0: leaving them out would favour actors that lose hard ones.
        rule: the success rule.
        split: the split of the tasks.
    """
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    turns = [step.response for step in steps if step.response is not None]
    return Evaluation(
        name=name,
        split=split,
        episodes=len(trajectories),
        threshold=rule.threshold,
        success=_success(trajectories, rule),
        reward=mean([0.0 if trajectory.lost else trajectory.reward for trajectory in trajectories]),
        steps=mean([len(trajectory.steps) for trajectory in trajectories]),
        by_kind=_by_kind(trajectories, rule),
        invalid_rate=_share(not step.valid for step in steps),
        unparsed_rate=_share(not turn.parsed for turn in turns),
        errors=sum(trajectory.lost for trajectory in trajectories),
    )


def outcomes(trajectories: Iterable[Trajectory], rule: SuccessRule) -> dict[str, bool]:
    """Return task id -> whether it was solved, for paired comparisons.

    Raises:
        EefError: a task was played twice, so that it isn't clear which episode counts.
    """
    found: dict[str, bool] = {}
    for trajectory in trajectories:
        if trajectory.task.id in found:
            raise EefError(
                f"task {trajectory.task.id!r} was played more than once in one evaluation; expected one episode a task",
                "Compare evaluations that play each task once.",
            )
        found[trajectory.task.id] = rule.holds(trajectory)
    return found


def difference_of(label: str, a: Iterable[Trajectory], b: Iterable[Trajectory], rule: SuccessRule) -> Difference:
    """Return the success rate of a minus that of b, paired by task.

    Raises:
        EefError: the two didn't play the same tasks, once each.
    """
    return Difference(label=label, success=paired_difference(outcomes(a, rule), outcomes(b, rule)))


def _success(trajectories: Sequence[Trajectory], rule: SuccessRule) -> Estimate:
    return success_rate(sum(map(rule.holds, trajectories)), len(trajectories))


def _by_kind(trajectories: Sequence[Trajectory], rule: SuccessRule) -> dict[str, Estimate]:
    groups: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        if trajectory.task.kind:
            groups[trajectory.task.kind].append(trajectory)
    return {kind: _success(groups[kind], rule) for kind in sorted(groups)}


def _share(flags: Iterable[bool]) -> float:
    """Return the share of flags that are set, 0 of none."""
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
