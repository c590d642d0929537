"""trackio holds the curves of a run. CI has no trackio: it needs an earlier pillow than the one that is pinned."""

import json
import os
import subprocess
import sys

import pytest

from eef_framework.errors import ConfigError
from eef_framework.models import libraries
from eef_framework.runs import RunLayout
from eef_framework.testing.conformance import check_tracker
from eef_framework.tracking import TrackioTracker


@pytest.fixture
def trackio(tmp_path, monkeypatch):
    """The library, with a database for this test."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in [name for name in sys.modules if name.partition(".")[0] == "trackio"]:
        del sys.modules[name]  # it reads its folder when it is imported
    return pytest.importorskip("trackio")


def ask(*arguments):
    """Return what trackio's command line reads."""
    done = subprocess.run(
        [sys.executable, "-m", "trackio.cli", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_trackio_holds_the_curves_of_a_run_and_its_settings(trackio, tracked, figures_of):
    tracker = TrackioTracker(project="mine")
    folder = tracked(tracker)
    tracked(tracker)
    (found,) = trackio.Api().runs("mine")
    assert found.name == "seed-0"
    assert found.config["_Group"] == "seeds"
    assert found.config["eef_run_id"] == json.loads(RunLayout(folder).manifest.read_text())["id"]
    shown = {
        (name, row["step"]): row["value"]
        for name in {name for name, _ in figures_of(folder)}
        for row in ask("get", "metric", "--project", "mine", "--run", "seed-0", "--metric", name)["values"]
    }
    assert shown == pytest.approx(figures_of(folder))


@pytest.mark.slow
def test_another_run_of_the_same_name_is_another_run(trackio, tracked, tmp_path):
    folder = tracked(TrackioTracker())
    folder.rename(tmp_path / "elsewhere")
    tracked(TrackioTracker())
    names = sorted(run.name for run in trackio.Api().runs("eef-framework"))
    assert (len(names), names[0]) == (2, "seed-0")
    assert names[1].startswith("seed-0-")


@pytest.mark.slow
def test_trackio_keeps_the_contract(trackio):
    check_tracker(TrackioTracker())


def test_a_missing_library_is_found_before_anything_starts(monkeypatch):
    monkeypatch.setattr(libraries, "installed", lambda module: False)
    with pytest.raises(ConfigError) as caught:
        TrackioTracker().preflight()
    assert (caught.value.code, caught.value.fix) == ("missing-extra", "pip install 'eef-framework[trackio]'")
