"""Figures in a file survive a kill at any moment."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eef_framework.interfaces import TrackedRun
from eef_framework.runs import RunLayout
from eef_framework.tracking import FileTracker

FIGURES = [({"collect/success": 0.5, "naïve 猫/reward": -1e-9}, 0), ({"eef/tune/1/loss": 2.0}, 1), ({"a": 3.0}, 1)]


def logged(folder: Path) -> Path:
    tracker = FileTracker()
    tracker.start(TrackedRun(id="x", name="x", folder=folder))
    for figures, step in FIGURES:
        tracker.log(figures, step)
    tracker.finish()
    return RunLayout(folder).figures


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_file_that_was_cut_anywhere_is_completed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = logged(tmp_path_factory.mktemp("run"))
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert logged(path.parent).read_bytes() == whole


def test_a_value_that_changed_is_added_and_an_equal_one_is_not(tmp_path: Path) -> None:
    path = logged(tmp_path)
    tracker = FileTracker()
    tracker.start(TrackedRun(id="x", name="x", folder=tmp_path))
    tracker.log({"a": 3.0}, 1)
    tracker.log({"a": 4.0}, 1)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["value"] for row in rows if row["figure"] == "a"] == [3.0, 4.0]


@pytest.mark.parametrize("text", ["my notes\n", "my notes", "{}\n"])
def test_a_file_that_is_not_one_of_figures_is_not_changed(tmp_path: Path, text: str) -> None:
    path = RunLayout(tmp_path).figures
    path.write_text(text)
    with pytest.raises((ValueError, KeyError)):
        FileTracker().start(TrackedRun(id="x", name="x", folder=tmp_path))
    assert path.read_text() == text
