"""The page of several runs side by side."""

import math
import re
from pathlib import Path

import pytest

from eef_framework.comparison import ComparedDifference, ComparedExperiment, ComparedRow, Comparison
from eef_framework.errors import ConfigError
from eef_framework.records import Estimate
from eef_framework.report.comparison_page import build_comparison_page
from eef_framework.report.forest import ForestRow, forest
from eef_framework.report.html import render
from eef_framework.report.page import head


def estimate(mean, low, high, n=3):
    return Estimate(mean=mean, low=low, high=high, n=n)


def row(label, experiment, mean, seeds=(0, 1)):
    bounds = (mean - 0.2, mean + 0.2) if len(seeds) > 1 else (math.nan, math.nan)
    return ComparedRow(
        label=label,
        experiment=experiment,
        seeds=seeds,
        success_over_seeds=estimate(mean, *bounds),
        success_over_tasks=estimate(mean, mean - 0.1, mean + 0.1),
        reward=estimate(mean, mean, mean),
        simulations=1234.0,
        tokens=5.0e6,
        usd=0.0,
        per_seed=tuple(mean for _ in seeds),
    )


def difference(first, second, low, high):
    over = estimate((low + high) / 2, low, high)
    return ComparedDifference(
        first=first, second=second, seeds=(0, 1), over_seeds=over, over_tasks=over, per_seed=(low, high)
    )


HOSTILE = "</script><b>a & b</b>"
COMPARISON = Comparison(
    protocol={"environment.name": "corridor", "limits.steps": None},
    rows=(row("a: eef 2", "a", 0.5), row(f"{HOSTILE}: eef 2", HOSTILE, 0.25, seeds=(0,))),
    differences=(difference("a: eef 2", f"{HOSTILE}: eef 2", 0.1, 0.3), difference("a: eef 2", "a: eef 2", -0.3, 0.1)),
    experiments=(
        ComparedExperiment(name="a", runs=("runs/a/seed-0", "runs/a/seed-1"), settings={"explore.simulations": 1}),
        ComparedExperiment(name=HOSTILE, runs=("runs/b",), settings={"explore.simulations": 2}),
    ),
    notes=("A note.",),
)


def test_the_page_shows_rows_differences_what_differs_and_the_protocol(tmp_path, page_class):
    build_comparison_page(COMPARISON, tmp_path / "sub/page.html")
    html = (tmp_path / "sub/page.html").read_text(encoding="utf-8")
    text = page_class(html).text
    for shown in ("50.0 %", "1,234", "+20.0", "✓ better", "≈ undecided", "explore.simulations", "A note.", "corridor"):
        assert shown in text
    assert "runs/a/seed-0, runs/a/seed-1" in text
    assert HOSTILE in text
    assert "<b>a & b</b>" not in html
    assert not re.search(r"(?:src|href)=", html.partition("<script>")[0])


def test_an_experiment_without_others_differs_in_nothing_but_the_seed(tmp_path, page_class):
    one = Comparison(rows=(row("eef 1", "a", 0.5),), experiments=(ComparedExperiment(name="a", runs=("a",)),))
    build_comparison_page(one, tmp_path / "page.html")
    assert "Nothing but the seed." in page_class((tmp_path / "page.html").read_text(encoding="utf-8")).text


def test_only_a_page_of_ours_is_replaced(tmp_path):
    page = tmp_path / "page.html"
    build_comparison_page(COMPARISON, page)
    build_comparison_page(COMPARISON, page)
    report = head("run", "", "eef-framework")
    for text in ("<p>mine", report):  # a run's report isn't one, either
        page.write_text(text)
        with pytest.raises(ConfigError) as caught:
            build_comparison_page(COMPARISON, page)
        assert caught.value.code == "output-exists"
        assert page.read_text() == text


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.1, 0.1), (-1.0, 1.0)])
def test_marks_stay_within_the_chart(low, high):
    rows = [
        ForestRow("x" * 90, "s-0", estimate(2.0, -3.0, 3.0), estimate(0.0, math.nan, math.nan), (-9.0, 9.0)),
        ForestRow("one", "s-1", estimate(0.05, math.nan, math.nan), estimate(0.05, 0.0, 0.1), (0.05,)),
    ]
    html = render(forest("title", rows, "axis", low, high))
    places = [float(found) for found in re.findall(r'(?:cx|x1|x2)="([-\d.]+)"', html)]
    assert places
    assert all(210 <= place <= 620 for place in places)
    assert html.count('class="ring"') == 2
    assert html.count('class="thick"') == 1
    assert "x" * 90 not in re.sub("<title>.*?</title>", "", html)


def test_the_charts_of_one_experiment_have_a_colour_for_each_row(tmp_path):
    rows = (row("sft", "a", 0.1), row("eef 1", "a", 0.5))
    build_comparison_page(Comparison(rows=rows), tmp_path / "page.html")
    html = Path(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "series s-0" in html
    assert "series s-1" in html
