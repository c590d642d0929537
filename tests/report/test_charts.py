from __future__ import annotations

import pytest

from eef_framework.records import Estimate
from eef_framework.report.charts import HEIGHT, WIDTH, Line, interval_bar, line_chart, loss_chart, share_bar


def _estimate(mean, low, high, n=10):
    return Estimate(mean=mean, low=low, high=high, n=n)


def _find(element, name):
    return next(part for part in element.iter() if part.get("class") == name)


def test_an_interval_bar_is_to_scale():
    bar = interval_bar(_estimate(0.5, 0.25, 0.75), "s-0")
    band = _find(bar, "band")
    assert float(band.get("x")) == pytest.approx(2 + 0.25 * 196)
    assert float(band.get("width")) == pytest.approx(0.5 * 196)
    assert float(_find(bar, "mean").get("x1")) == pytest.approx(100)


def test_a_difference_is_drawn_around_0():
    bar = interval_bar(_estimate(0.1, -0.1, 0.3), "s-0", -0.4, 0.4)
    assert float(_find(bar, "zero").get("x1")) == pytest.approx(100)
    assert float(_find(bar, "band").get("x")) < 100


def test_an_unbounded_interval_fills_the_scale_and_no_more():
    band = _find(interval_bar(_estimate(0.5, float("-inf"), float("inf"), 1), "s-0"), "band")
    assert (float(band.get("x")), float(band.get("width"))) == (2, 196)


def test_a_chart_holds_every_number_as_text_and_stays_in_its_frame():
    lines = [
        Line("eef", "s-0", 0, [(0.0, _estimate(0.4, 0.3, 0.5)), (1.0, _estimate(0.6, 0.5, 0.7))]),
        Line("expert", "s-expert", 4, [(1.0, _estimate(0.1, 0.0, 0.2))]),
    ]
    chart = line_chart("Success", lines, [(0.0, "0 (clone)"), (1.0, "1")], "iteration")
    text = " ".join("".join(chart.itertext()).split())
    for number in ("40.0 [30.0, 50.0] %, n = 10", "60.0 [50.0, 70.0] %, n = 10", "10.0 [0.0, 20.0] %, n = 10"):
        assert number in text
    plot = _find(chart, "plot")
    for whisker in plot.iter("line"):
        assert all(0 <= float(whisker.get(key)) <= WIDTH for key in ("x1", "x2"))
        assert all(0 <= float(whisker.get(key)) <= HEIGHT for key in ("y1", "y2"))


def test_higher_values_are_drawn_higher():
    points = [(0.0, _estimate(0.2, 0.1, 0.3)), (1.0, _estimate(0.9, 0.8, 1.0))]
    chart = line_chart("Success", [Line("eef", "s-0", 0, points)], [(0.0, "0"), (1.0, "1")], "iteration")
    low, high = (float(circle.get("cy")) for circle in _find(chart, "plot").iter("circle"))
    assert high < low


def test_a_long_loss_curve_is_thinned_and_keeps_its_ends_in_words():
    chart = loss_chart("clone", [(float(k), 1 + 1 / (k + 1)) for k in range(10_000)])
    path = _find(chart, "loss").get("points").split()
    assert 100 <= len(path) <= 150
    assert "clone: from 2 to 1" in "".join(chart.itertext())


@pytest.mark.parametrize("losses", [(2.0, 1.0), (0.031, 0.030), (5e-4, 4e-4)])
def test_a_loss_curve_uses_the_height_of_its_chart_whatever_its_scale(losses):
    chart = loss_chart("eef 2", [(float(k), loss) for k, loss in enumerate(losses)])
    first, last = (float(point.split(",")[1]) for point in _find(chart, "loss").get("points").split())
    assert last - first > 0.7 * HEIGHT


def test_a_loss_that_is_not_a_number_is_left_out():
    chart = loss_chart("clone", [(0.0, float("nan")), (1.0, float("inf")), (2.0, 0.5)])
    assert "nan" not in _find(chart, "loss").get("points")
    assert "no finite loss" in "".join(loss_chart("clone", [(0.0, float("nan"))]).itertext())


def test_a_share_is_drawn_as_a_length():
    assert float(_find(share_bar(0.25), "share").get("width")) == 50


@pytest.mark.parametrize(("steps", "told"), [(1, "over 1 step"), (2, "over 2 steps")])
def test_one_step_is_not_steps(steps, told):
    chart = loss_chart("clone", [(float(steps), 0.5)])
    assert next(each.get("aria-label") for each in chart.iter() if each.get("aria-label")).endswith(told)
