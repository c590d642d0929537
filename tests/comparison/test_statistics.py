"""Intervals over tasks: results of one task in several seeds aren't independent."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.comparison.statistics import (
    TaskKey,
    as_difference,
    difference_over_tasks,
    over_seeds,
    rate_over_tasks,
)
from eef_framework.evaluation.intervals import mean, paired_difference, success_rate

Seeds = list[dict[TaskKey, bool]]


def solved(*values: bool) -> dict[TaskKey, bool]:
    return {(f"task-{index}", ""): value for index, value in enumerate(values)}


def runs(seeds: int) -> st.SearchStrategy[Seeds]:
    outcomes = st.lists(st.booleans(), min_size=5, max_size=5)
    return st.lists(outcomes.map(lambda values: solved(*values)), min_size=seeds, max_size=seeds)


def test_one_seed_has_the_intervals_of_a_single_run() -> None:
    a, b = solved(True, False, True, True), solved(False, False, True, False)
    assert rate_over_tasks([a]) == success_rate(3, 4)
    expected = paired_difference(
        {str(key): value for key, value in a.items()}, {str(key): value for key, value in b.items()}
    )
    assert difference_over_tasks([a], [b]) == expected


def test_copies_of_a_seed_say_nothing_new_about_tasks() -> None:
    values = [True, False, True, True, False, True, False, True] * 3
    assert rate_over_tasks([solved(*values)] * 2) == rate_over_tasks([solved(*values)] * 50) == mean(values)


def test_seeds_that_do_not_differ_say_nothing_about_their_spread() -> None:
    assert math.isinf(over_seeds([0.3, 0.3]).high)
    assert math.isinf(over_seeds([0.3]).low)
    assert math.isinf(over_seeds([0.325 - 0.725, 0.275 - 0.675]).low)  # equal up to rounding
    assert over_seeds([0.3, 0.4]) == mean([0.3, 0.4])


def test_tasks_with_another_fingerprint_are_other_tasks() -> None:
    a, b = {("t", "1"): True, ("u", "1"): False}, {("t", "2"): True, ("u", "2"): True}
    assert rate_over_tasks([a, b]).n == 4


@pytest.mark.parametrize("value", [True, False])
def test_equal_results_of_all_tasks_have_an_interval(value: bool) -> None:
    always = [solved(*[value] * 4)] * 3
    assert rate_over_tasks(always) == success_rate(4 * value, 4)
    gain = difference_over_tasks(always, always)
    assert (gain.mean, gain.low < 0 < gain.high) == (0.0, True)


@given(runs(3), runs(3))
def test_a_difference_turned_round_is_its_negative(a: Seeds, b: Seeds) -> None:
    one, other = difference_over_tasks(a, b), difference_over_tasks(b, a)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low), abs=1e-12)
    assert one.low <= one.mean <= one.high
    assert not math.isinf(one.low)
    assert -1 <= one.low <= one.high <= 1


def test_no_difference_is_larger_than_all_tasks() -> None:
    a, b = [solved(False, True)] * 2, [solved(True, True)] * 2
    assert difference_over_tasks(a, b).low == -1
    assert as_difference(over_seeds([0.9, -0.9])) == mean([0.9, -0.9]).changed(low=-1.0, high=1.0)
    assert math.isinf(as_difference(over_seeds([0.5])).high)


@given(runs(3))
def test_the_mean_is_that_of_all_episodes(seeds: Seeds) -> None:
    values: Sequence[bool] = [value for seed in seeds for value in seed.values()]
    assert rate_over_tasks(seeds).mean == pytest.approx(sum(values) / len(values))
