from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import EefError
from eef_framework.evaluation.intervals import mean, paired_difference, success_rate, t_quantile


# Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_wilson_interval_agrees_with_published_values(successes, n, low, high):
    estimate = success_rate(successes, n)
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)
    assert estimate.mean == successes / n
    assert estimate.n == n


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_success_rate_lies_within_its_interval_and_the_interval_within_0_and_1(drawn):
    estimate = success_rate(*drawn)
    mirrored = success_rate(drawn[1] - drawn[0], drawn[1])
    assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1
    assert estimate.low < estimate.high
    assert math.isclose(estimate.low, 1 - mirrored.high, abs_tol=1e-12)


def test_no_episodes_mean_that_nothing_is_known():
    assert success_rate(0, 0).model_dump() == {"mean": 0.0, "low": 0.0, "high": 1.0, "n": 0}
    assert mean([]).n == 0
    assert mean([]).high == math.inf


def test_more_successes_than_episodes_are_refused():
    with pytest.raises(EefError, match="4 successes of 3"):
        success_rate(4, 3)


# Quantiles from tables of Student's distribution, to three digits as printed.
@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (4, 2.776), (30, 2.042), (40, 2.021), (60, 2.0), (120, 1.98), (1000, 1.962)]
)
def test_t_quantiles_agree_with_printed_tables(degrees, quantile):
    assert round(t_quantile(degrees), 3) == quantile


def test_the_expansion_continues_the_table_without_a_jump():
    steps = [t_quantile(k) - t_quantile(k + 1) for k in range(25, 40)]
    assert all(later < earlier for earlier, later in itertools.pairwise(steps))


def test_the_interval_of_a_mean_is_students():
    # Mean 7, standard deviation sqrt(2.5): 7 +- 2.776445 * sqrt(2.5 / 5).
    estimate = mean([5, 6, 7, 8, 9])
    assert estimate.mean == 7
    assert estimate.n == 5
    assert estimate.high - 7 == pytest.approx(1.963243, abs=1e-6)
    assert 7 - estimate.low == pytest.approx(1.963243, abs=1e-6)


def test_one_value_has_an_unbounded_interval():
    estimate = mean([0.4])
    assert (estimate.mean, estimate.low, estimate.high) == (0.4, -math.inf, math.inf)


def test_the_t_interval_covers_the_truth_95_times_in_100():
    dice = random.Random(0)
    covered = 0
    for _ in range(2000):
        estimate = mean([dice.gauss(0.5, 0.2) for _ in range(6)])
        covered += estimate.low <= 0.5 <= estimate.high
    assert 0.935 < covered / 2000 < 0.965


def test_the_paired_difference_agrees_with_a_published_example():
    # Fagerland, Lydersen, Laake (2014), airway hyper-responsiveness: 1 and 7 of 21 pairs disagree.
    # By hand: (8 - 2) / 23 = 0.260870, +- 1.959964 * sqrt((10 / 23 - 0.260870^2) / 23) = 0.247490.
    a = {str(k): k < 8 for k in range(21)}
    b = {str(k): k < 1 or k == 8 for k in range(21)}
    estimate = paired_difference(a, b)
    assert estimate.mean == pytest.approx(6 / 21)
    assert estimate.low == pytest.approx(0.013380, abs=1e-6)
    assert estimate.high == pytest.approx(0.508359, abs=1e-6)


@given(st.dictionaries(st.text(max_size=3), st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_swapping_the_sides_of_a_difference_changes_its_sign_only(pairs):
    a = {task: pair[0] for task, pair in pairs.items()}
    b = {task: pair[1] for task, pair in pairs.items()}
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert -1 <= forth.low <= forth.mean <= forth.high <= 1
    assert math.isclose(forth.mean, -back.mean, abs_tol=1e-12)
    assert math.isclose(forth.low, -back.high, abs_tol=1e-12)


def test_pairing_narrows_the_interval_of_actors_that_fail_on_the_same_tasks():
    a = {str(k): k % 2 == 0 for k in range(300)}
    agreeing = {task: won and task != "0" for task, won in a.items()}
    opposite = {str(k): k % 2 == 1 and k != 1 for k in range(300)}
    narrow, wide = paired_difference(a, agreeing), paired_difference(a, opposite)
    assert narrow.mean == wide.mean
    assert narrow.high - narrow.low < 0.2 * (wide.high - wide.low)


def test_a_difference_on_other_tasks_is_refused_with_the_tasks():
    with pytest.raises(EefError, match=r"task 'c' on the first side only, nothing on the second"):
        paired_difference({"a": True, "c": True}, {"a": False})
    with pytest.raises(EefError, match=r"5 tasks \('0', '1', '2', ...\) on the second side only, and 0 on both"):
        paired_difference({}, dict.fromkeys("01234", True))
