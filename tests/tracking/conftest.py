import json

import pytest

from eef_framework.pipeline import run
from eef_framework.plugins import Registry
from eef_framework.runs import RunLayout
from eef_framework.testing.small_run import small_config
from eef_framework.tracking import FileTracker


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """Return a function that does a small run with a tracker, and returns its folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def tracked(tracker, **settings):
        folder = tmp_path / "seeds" / "seed-0"
        run(small_config(trackers=[tracker, FileTracker()], **settings), Registry(), folder)
        return folder

    return tracked


@pytest.fixture
def figures_of():
    """Return a function that returns (name, step) -> value, as the tracker `files` has them."""

    def figures_of(folder):
        rows = [json.loads(line) for line in RunLayout(folder).figures.read_text(encoding="utf-8").splitlines()]
        return {(row["figure"], row["step"]): row["value"] for row in rows}

    return figures_of
