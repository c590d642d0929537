"""The page in a real browser, where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import pytest

from eef_framework.comparison import ComparedDifference, ComparedRow, Comparison
from eef_framework.records import Estimate, SuccessRule, Trajectory
from eef_framework.report.build import build_report
from eef_framework.report.comparison_page import build_comparison_page
from eef_framework.report.view import build_view
from eef_framework.runs import read_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
    "--virtual-time-budget=4000",
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which isn't installed")


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    return build_report(shutil.copytree(finished, tmp_path_factory.mktemp("browser") / "run"))


def _opened(report, anchor, profile):
    """Return the page's elements after its script ran, and what it complained about."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", f"{report.as_uri()}#{anchor}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_list_and_a_demonstration_open_without_a_complaint(report, page_class, tmp_path):
    html, complaints = _opened(report, "trajectory/" + quote("expert/train-0002", safe=""), tmp_path)
    read = page_class(html)
    assert complaints == []
    assert "trajectories," in read.text
    assert sum(tag == "a" and "data-number" in attrs for tag, attrs in read.tags) == 50
    assert len(read.within("verdicts")) == 1
    assert read.within("probe")
    assert any(attrs.get("id") == "state-0" for _, attrs in read.tags)


def test_advice_is_shown_after_the_agents_actions(advised, page_class, tmp_path):
    run = shutil.copytree(advised, tmp_path / "run")
    episode = next(read_rows(run / "methods/dagger/1/explore/simulations.jsonl", Trajectory))
    html, complaints = _opened(build_report(run), "trajectory/" + quote(episode.id, safe=""), tmp_path / "profile")
    assert complaints == []
    assert len(page_class(html).within("advice")) == len(episode.steps)


def test_alternatives_are_shown_after_the_experts_actions(tried, page_class, tmp_path):
    run = shutil.copytree(tried, tmp_path / "run")
    demonstrations = read_rows(run / "collect/trajectories.jsonl", Trajectory)
    page = page_class(build_report(run).read_text(encoding="utf-8"))
    found = {each.id: page.links(page.number(each.id))["alternatives"] for each in demonstrations}
    name = max(found, key=lambda id: len(found[id]))
    html, complaints = _opened(run / "report.html", "trajectory/" + quote(name, safe=""), tmp_path / "profile")
    assert complaints == []
    assert len(page_class(html).within("advice")) == len(found[name]) > 0


def test_reflections_are_shown_after_the_experts_actions(reflected, page_class, tmp_path):
    run = shutil.copytree(reflected, tmp_path / "run")
    demonstrations = read_rows(run / "collect/trajectories.jsonl", Trajectory)
    page = page_class(build_report(run).read_text(encoding="utf-8"))
    found = {each.id: page.links(page.number(each.id))["reflections"] for each in demonstrations}
    name = max(found, key=lambda id: len({status for *_, status, _, _ in found[id]}))
    html, complaints = _opened(run / "report.html", "trajectory/" + quote(name, safe=""), tmp_path / "profile")
    assert complaints == []
    shown = page_class(html).within("reflection")
    assert len(shown) == len(found[name]) > 0
    for text, (_, _, writer, _, status, reason, trainings) in zip(shown, found[name], strict=True):
        assert writer in text
        assert ("not learned" in text) == (not trainings)
        assert status == "lost" or reason in text


def test_a_link_with_filters_shows_what_fits_them(report, page_class, tmp_path):
    html, complaints = _opened(report, "trajectories?phase=demonstration&outcome=0", tmp_path)
    read = page_class(html)
    shown = [int(attrs["data-number"]) for tag, attrs in read.tags if tag == "a" and "data-number" in attrs]
    rows, groups = read.data["rows"], read.data["groups"]
    expected = [
        n
        for n, group in enumerate(rows["group"])
        if groups[group]["phase"] == "demonstration" and rows["outcome"][n] == 0
    ]
    assert complaints == []
    assert shown == expected[:50]
    assert shown


def test_a_page_of_a_file_opens_without_a_complaint(page_class, tmp_path):
    rows = [
        {"conversations": [{"from": "human", "value": "a page"}, {"from": "gpt", "value": f"Action: click[{name}]"}]}
        for name in ("a", "b")
    ]
    (tmp_path / "logs.json").write_text(json.dumps([{"id": "one", **rows[0]}, {"id": "two", "reward": 1.0, **rows[1]}]))
    build_view(tmp_path / "logs.json", tmp_path / "page.html", SuccessRule())
    html, complaints = _opened(tmp_path / "page.html", "trajectory/one", tmp_path / "profile")
    read = page_class(html)
    assert complaints == []
    assert "unknown outcome" in read.text
    assert "click[a]" in read.text


COMPARISON = Comparison(
    rows=tuple(
        ComparedRow(
            label=label,
            experiment="one",
            seeds=(0, 1),
            success_over_seeds=Estimate(mean=mean, low=0.1, high=0.9, n=2),
            success_over_tasks=Estimate(mean=mean, low=0.2, high=0.8, n=9),
            reward=Estimate(mean=mean, low=0.1, high=0.9, n=2),
            simulations=1.0,
            tokens=2.0,
            usd=0.0,
            per_seed=(mean, mean),
        )
        for label, mean in (("eef 1", 0.5), ("rft 1", 0.4))
    ),
    differences=(
        ComparedDifference(
            first="eef 1",
            second="rft 1",
            seeds=(0, 1),
            over_seeds=Estimate(mean=0.1, low=-0.1, high=0.3, n=2),
            over_tasks=Estimate(mean=0.1, low=0.0, high=0.2, n=9),
            per_seed=(0.1, 0.1),
        ),
    ),
)


def test_charts_can_be_saved_as_files_that_stand_alone(page_class, tmp_path):
    build_comparison_page(COMPARISON, tmp_path / "page.html")
    html, complaints = _opened(tmp_path / "page.html", "", tmp_path / "profile")
    assert complaints == []
    saved = [attrs for tag, attrs in page_class(html).tags if tag == "a" and attrs.get("class") == "save"]
    assert len(saved) == 2
    for link in saved:
        kind, _, data = link["href"].partition(",")
        drawn = ElementTree.fromstring(unquote(data))
        assert kind == "data:image/svg+xml;charset=utf-8"
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        fills = {element.get("fill") for element in drawn.iter() if element.tag.endswith("circle")}
        assert any(fill.startswith("rgb(") for fill in fills)
        assert not [element for element in drawn.iter() if element.get("class") and element is not drawn]
        assert link["download"].endswith(".svg")


def test_a_report_has_charts_that_can_be_saved(report, page_class, tmp_path):
    html, complaints = _opened(report, "", tmp_path)
    assert complaints == []
    assert any(tag == "a" and attrs.get("class") == "save" for tag, attrs in page_class(html).tags)
