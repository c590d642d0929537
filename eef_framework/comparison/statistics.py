"""Estimates over several seeds: one interval over seeds, one over tasks. They answer different questions.

The interval over seeds says how much the mean would change with other trainings (and other tasks, where each seed has
its own); it needs two seeds. The interval over tasks says how much it would change with other tasks and the same
trainings: results of one task in several seeds are averaged first, because they aren't independent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from eef_framework.evaluation.intervals import mean, paired_difference, success_rate
from eef_framework.records import Estimate

TaskKey = tuple[str, str]
"""A task's id and fingerprint: with another fingerprint it is another task."""


def over_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean of one number a seed, with its t interval.

    Equal values say nothing about the spread, as a single one doesn't: the interval is unbounded then (-inf to inf).
    """
    found = mean(values)
    return found.changed(low=-math.inf, high=math.inf) if _constant(values) else found


def rate_over_tasks(seeds: Sequence[Mapping[TaskKey, bool]]) -> Estimate:
    """Return the share of solved tasks over all seeds, with its interval over tasks.

    Args:
        seeds: for each seed: task -> whether it was solved.
    """
    per_task = _per_task(seeds)
    if (len(seeds) == 1 or _constant(per_task)) and _all_binary(per_task):  # a t interval could be empty
        return success_rate(round(sum(per_task)), len(per_task))
    return as_share(mean(per_task))


def as_share(estimate: Estimate) -> Estimate:
    """Cut the interval of a share to 0 and 1, except where it is unbounded because there is a single seed."""
    return _cut(estimate, 0.0)


def as_difference(estimate: Estimate) -> Estimate:
    """Cut the interval of a difference of shares to -1 and 1, except where it is unbounded."""
    return _cut(estimate, -1.0)


def difference_over_tasks(a: Sequence[Mapping[TaskKey, bool]], b: Sequence[Mapping[TaskKey, bool]]) -> Estimate:
    """Return the success rate of a minus that of b, paired by seed and task, with its interval over tasks.

    Args:
        a: for each seed: task -> whether it was solved.
        b: the same seeds with the same tasks.
    """
    if len(a) == 1:
        return paired_difference(_named(a[0]), _named(b[0]))
    gains = [{task: float(one[task]) - other[task] for task in one} for one, other in zip(a, b, strict=True)]
    per_task = _per_task(gains)
    if _constant(per_task) and _all_binary(per_task):  # no spread: a t interval would be empty
        solved = {str(index): value > 0 for index, value in enumerate(per_task)}
        return paired_difference(solved, {str(index): value < 0 for index, value in enumerate(per_task)})
    return as_difference(mean(per_task))


def _cut(estimate: Estimate, lowest: float) -> Estimate:
    if math.isinf(estimate.low):
        return estimate
    return estimate.changed(low=max(lowest, estimate.low), high=min(1.0, estimate.high))


def _per_task(seeds: Sequence[Mapping[TaskKey, float]]) -> list[float]:
    """Return the mean of each distinct task over the seeds in which it occurs."""
    values: dict[TaskKey, list[float]] = defaultdict(list)
    for seed in seeds:
        for task, value in seed.items():
            values[task].append(float(value))
    return [fmean(each) for each in values.values()]


def _named(solved: Mapping[TaskKey, bool]) -> dict[str, bool]:
    return {"\n".join(task): value for task, value in solved.items()}


def _constant(values: Sequence[float]) -> bool:
    """Return whether all are equal, up to rounding: 0.325 - 0.725 and 0.275 - 0.675 are."""
    return max(values, default=0.0) - min(values, default=0.0) < 1e-9


def _all_binary(values: Sequence[float]) -> bool:
    return all(value in (-1.0, 0.0, 1.0) for value in values)
