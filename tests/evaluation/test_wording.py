from __future__ import annotations

import io

import pytest
from rich.console import Console

from eef_framework.evaluation.wording import count, describe, duration, outcome, percent, plus_minus, results_table
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
    assert describe(_difference(0.1, 0.02, 0.18)) == (
        "eef 2 beats rft 2 by 10.0 points of success (95 % interval +2.0 to +18.0, 300 tasks)."
    )


def test_a_difference_whose_interval_is_below_0_is_a_loss():
    assert outcome(_difference(-0.1, -0.18, -0.02)) == "behind"
    assert "eef 2 is behind rft 2 by 10.0 points" in describe(_difference(-0.1, -0.18, -0.02))


@pytest.mark.parametrize(("mean", "side"), [(0.05, "ahead of"), (-0.05, "behind")])
def test_a_difference_whose_interval_includes_0_is_never_called_a_win(mean, side):
    sentence = describe(_difference(mean, mean - 0.08, mean + 0.08))
    assert f"5.0 points {side} rft 2, but the interval includes 0" in sentence
    assert "beats" not in sentence
    assert outcome(_difference(mean, mean - 0.08, mean + 0.08)) == "undecided"


def test_estimates_are_written_with_their_interval_or_the_lack_of_one():
    assert percent(Estimate(mean=0.616, low=0.56, high=0.669, n=300)) == "61.6 [56.0, 66.9]"
    assert plus_minus(Estimate(mean=0.7, low=0.65, high=0.75, n=9)) == "0.70 ±0.05"
    assert plus_minus(Estimate(mean=0.7, low=float("-inf"), high=float("inf"), n=1)) == "0.70 ±?"
    assert percent(Estimate(mean=0, low=0, high=1, n=0)) == "-"


def test_counts_and_durations_are_brief():
    assert [count(x) for x in (7, 999, 12_300, 4_500_000, 2e9)] == ["7", "999", "12.3k", "4.5M", "2.0G"]
    assert [duration(x) for x in (0.42, 59.97, 200, 18_720)] == ["0.4 s", "1 min 0 s", "3 min 20 s", "5 h 12 min"]


def test_the_table_fits_80_columns_with_intervals_and_the_comparison_below():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table(_metrics()))
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
        "beats rft 2",
    ):
        assert part in text


def test_a_run_without_rows_still_has_a_table():
    assert results_table(RunMetrics(threshold=1.0)).row_count == 0
