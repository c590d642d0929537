from pathlib import Path
from types import SimpleNamespace

import pytest

from eef_framework.records import Cost
from eef_framework.runs import Stage
from eef_framework.runs.stage import reopen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of stages, which passes only when a test says so."""
    clock = SimpleNamespace(now=0.0, time=lambda: 1e9)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("eef_framework.runs.stage.time", clock)
    return clock


def begun(path: Path) -> Stage:
    stage = Stage(path, "collect")
    stage.begin()
    return stage


def seconds_of(stage: Stage) -> float:
    assert stage.manifest is not None
    return stage.manifest.cost.seconds


def test_the_time_is_summed_over_the_processes_that_worked_on_it(tmp_path: Path, clock: SimpleNamespace) -> None:
    for worked in (5, 7):
        stage = begun(tmp_path)
        clock.now += worked
        stage.note_time()
        clock.now += 100  # nothing runs
    stage = begun(tmp_path)
    clock.now += 1
    stage.finish(Cost(episodes=3), {})
    assert seconds_of(stage) == 13
    assert [path.name for path in tmp_path.iterdir()] == ["stage.json"]


def test_the_time_is_noted_at_intervals_for_a_process_that_is_killed(tmp_path: Path, clock: SimpleNamespace) -> None:
    stage = begun(tmp_path)
    for _ in range(7):
        clock.now += 4
        stage.note_time(every_s=10)  # after 12 and 24 seconds
    assert begun(tmp_path).seconds == 24


def test_a_stage_without_a_folder_gets_none_for_its_time(tmp_path: Path, clock: SimpleNamespace) -> None:
    begun(tmp_path / "collect").note_time()
    assert not (tmp_path / "collect").exists()


@pytest.mark.parametrize("damaged", ["", "[]", '{"seconds": null}', '{"seconds": "x"}', "{}"])
def test_a_damaged_note_of_the_time_is_ignored(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "elapsed.json").write_text(damaged)
    stage = begun(tmp_path)
    stage.finish(Cost(), {})
    assert stage.done


def test_a_reopened_stage_keeps_the_time_that_it_took_before(tmp_path: Path, clock: SimpleNamespace) -> None:
    rows = tmp_path / "trajectories.jsonl"
    rows.write_text("{}\n")
    stage = begun(tmp_path)
    clock.now += 5
    stage.finish(Cost(), {rows.name: 1})
    assert reopen(rows, 0) == "collect"
    for _ in range(2):  # interrupted once more
        stage = begun(tmp_path)
        clock.now += 2
        stage.note_time()
    stage.finish(Cost(), {rows.name: 1})
    assert seconds_of(stage) == 9
