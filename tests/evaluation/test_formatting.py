from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from eef_framework.evaluation.formatting import (
    count,
    describe,
    duration,
    percent,
    plural,
    plus_minus,
    results,
    significance,
    tokens_of,
    unknown_costs,
)
from eef_framework.records import Cost, Difference, Estimate, Evaluation, ResultRow, RunMetrics


def _difference(mean, low, high):
    return Difference(label="eef 2 - rft 2", success=Estimate(mean=mean, low=low, high=high, n=300))


def _metrics():
    success = Estimate(mean=0.616, low=0.56, high=0.669, n=300)
    one = Estimate(mean=0.7, low=float("-inf"), high=float("inf"), n=1)
    evaluation = Evaluation(
        name="eef-2", split="test", episodes=300, threshold=1.0, success=success, reward=one, steps=success, errors=2
    )
    cost = Cost(simulations=6100, computed_tokens=1_000_000, trained_tokens=500_000, seconds=200)
    row = ResultRow(label="eef 2", method="eef", iteration=2, evaluation=evaluation, cost=cost)
    return RunMetrics(threshold=1.0, rows=(row,), differences=(_difference(0.1, 0.02, 0.18),))


def test_a_difference_whose_interval_excludes_0_is_a_win():
    assert significance(_difference(0.1, 0.02, 0.18).success) == "better"
    sentence = describe(_difference(0.1, 0.02, 0.18))
    for part in ("eef 2 is better than rft 2", "10.0 points", "+2.0 to +18.0", "300 tasks"):
        assert part in sentence


def test_a_difference_whose_interval_is_below_0_is_a_loss():
    assert significance(_difference(-0.1, -0.18, -0.02).success) == "worse"
    assert "eef 2 is worse than rft 2 by 10.0 points" in describe(_difference(-0.1, -0.18, -0.02))


@pytest.mark.parametrize(("mean", "side"), [(0.05, "above"), (-0.05, "below")])
def test_a_difference_whose_interval_includes_0_is_never_called_a_win(mean, side):
    sentence = describe(_difference(mean, mean - 0.08, mean + 0.08))
    assert f"5.0 points {side} rft 2" in sentence
    assert "better" not in sentence
    assert significance(_difference(mean, mean - 0.08, mean + 0.08).success) == "undecided"


def test_estimates_are_written_with_their_interval_or_the_lack_of_one():
    assert percent(Estimate(mean=0.616, low=0.56, high=0.669, n=300)) == "61.6 [56.0, 66.9]"
    assert plus_minus(Estimate(mean=0.7, low=0.65, high=0.75, n=9)) == "0.70 ±0.05"
    assert plus_minus(Estimate(mean=0.7, low=float("-inf"), high=float("inf"), n=1)) == "0.70 ±?"
    assert percent(Estimate(mean=0, low=0, high=1, n=0)) == "-"


def test_counts_and_durations_are_brief():
    assert [count(x) for x in (7, 999, 12_300, 4_500_000, 2e9)] == ["7", "999", "12.3k", "4.5M", "2.0G"]
    assert [duration(x) for x in (0.42, 59.97, 200, 18_720)] == ["0.4 s", "1 min 0 s", "3 min 20 s", "5 h 12 min"]
    longer = [duration(x) for x in (599.4, 599.6, 812, 3_599, 111_600)]
    assert longer == ["9 min 59 s", "10 min", "14 min", "1 h 0 min", "31 h"]


@given(seconds=st.floats(0, 3.6e6))
def test_durations_fit_the_column_of_the_table(seconds: float):
    assert len(duration(seconds)) <= 10


def test_the_table_fits_80_columns_with_intervals_and_a_comparison_below():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results(_metrics()))
    text = console.export_text()
    for part in (
        "eef 2",
        "61.6 [56.0, 66.9]",
        "300 test tasks",
        "2 episodes lost",
        "0.70 ±?",
        "6.1k",
        "1.5M",
        "3 min 20 s",
        "better than rft 2",
        "Intervals cover the choice of tasks",
    ):
        assert part in text


def test_no_cell_of_a_long_run_is_cut_short_at_80_columns():
    few = Estimate(mean=0.325, low=0.201, high=0.48, n=40)
    reward = Estimate(mean=0.57, low=0.45, high=0.69, n=40)
    steps = Estimate(mean=24.7, low=20, high=29, n=40)
    evaluation = Evaluation(
        name="rft-1", split="test", episodes=40, threshold=1.0, success=few, reward=reward, steps=steps
    )
    cost = Cost(simulations=12_345, computed_tokens=277_300, seconds=20_000)
    row = ResultRow(label="rft-matched 1", method="rft-matched", iteration=1, evaluation=evaluation, cost=cost)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results(RunMetrics(threshold=1.0, rows=(row,))))
    assert "rft-matched 1  32.5 [20.1, 48.0]  0.57 ±0.12   24.7  12.3k  277.3k  5 h 33 min" in console.export_text()


def test_a_run_without_rows_still_has_a_heading():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results(RunMetrics(threshold=1.0)))
    text = console.export_text()
    assert "0 tasks; success: reward >= 1" in text
    assert "seeds" not in text


@pytest.mark.parametrize(
    ("number", "thing", "told"),
    [(1, "trajectory", "1 trajectory"), (0, "trajectory", "0 trajectories"), (1, "success", "1 success"),
     (2, "success", "2 successes"), (1200, "task", "1,200 tasks")],
)  # fmt: skip
def test_one_thing_is_not_things(number, thing, told):
    assert plural(number, thing) == told


def test_answers_of_unknown_cost_make_the_tokens_a_lower_bound():
    known = Cost(computed_tokens=1_000_000, trained_tokens=500_000)
    unknown = known.changed(answers_of_unknown_cost=3)
    assert tokens_of(unknown) == f">= {tokens_of(known)}"
    assert unknown_costs(0) == ""
    assert unknown_costs(3).startswith("3 answers of unknown cost")
    metrics = _metrics()
    row = metrics.rows[0].changed(cost=unknown)
    shown = io.StringIO()
    Console(file=shown, width=80).print(results(metrics.changed(rows=(row,), stages={"collect": unknown})))
    assert ">= 1.5M" in shown.getvalue()
    assert unknown_costs(3) in " ".join(shown.getvalue().split())
