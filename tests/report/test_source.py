from __future__ import annotations

import shutil

import pytest

from eef_framework.errors import StorageError
from eef_framework.records import Cost, Trajectory
from eef_framework.report.source import Source
from eef_framework.runs.stage import Stage


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_groups_and_trainings_are_found_main_method_first(run):
    source = Source(run)
    assert [t.label for t in source.trainings()] == ["clone", "eef 1", "eef 2", "rft-matched 1", "rft-matched 2"]
    assert [g.label for g in source.groups() if g.phase == "test"][:2] == ["expert", "clone"]
    assert len(source.groups()) == 3 + 4 * 2
    assert source.problems == []


def test_iterations_are_in_the_order_of_numbers(run):
    (run / "methods/eef/10").mkdir()
    assert [t.iteration for t in Source(run).trainings() if t.method == "eef"] == [1, 2, 10]


def test_a_corrupt_line_is_left_out_and_counted(run):
    path = run / "collect/trajectories.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "not json\n", '{"id": 3}\n', *lines[1:]]))
    source = Source(run)
    assert len(list(source.rows(path, Trajectory))) == len(lines)
    (problem,) = source.problems
    assert problem.startswith("collect/trajectories.jsonl: 2 ")


def complete(run, stage):
    """Complete a stage with the rows that it has."""
    path = run / stage
    rows = {file.name: len(file.read_text().splitlines()) for file in path.glob("*.jsonl")}
    Stage(path, stage).finish(Cost(), rows)


@pytest.mark.parametrize("finished_stage", [True, False])
def test_a_torn_last_line_is_told_apart_from_corruption(run, finished_stage):
    path = run / "collect/trajectories.jsonl"
    if finished_stage:
        complete(run, "collect")
    path.write_text(path.read_text()[:-30])
    source = Source(run)
    list(source.rows(path, Trajectory))
    (problem,) = source.problems
    assert "the last line is incomplete" in problem
    assert ("still writing" in problem) is not finished_stage


def test_rows_files_and_folders_that_complete_stages_lost_become_remarks(run):
    complete(run, "methods/eef/1/explore")
    complete(run, "methods/eef/1/evaluate")
    path = run / "methods/eef/1/explore/simulations.jsonl"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:7]) + rows[7][:30])
    (run / "methods/eef/1/evaluate/trajectories.jsonl").unlink()
    shutil.rmtree(run / "methods/eef/2/evaluate")
    source = Source(run)
    list(source.rows(path, Trajectory))
    assert sorted(problem.partition(": ")[0] for problem in source.problems) == [
        "methods/eef/1/evaluate/trajectories.jsonl",
        "methods/eef/1/explore/simulations.jsonl",
        "methods/eef/1/explore/simulations.jsonl",
        "methods/eef/2/evaluate",
    ]
    assert any(f"8 of {len(rows)} rows" in problem for problem in source.problems)
    assert not any("still writing" in problem for problem in source.problems)


def test_a_damaged_manifest_and_a_stage_that_was_repaired_become_remarks(run):
    (run / "collect/stage.json").write_text("")
    complete(run, "clone")
    (run / "clone/stage.json").rename(run / "clone/reopened.json")
    first, second = Source(run).problems
    assert "collect/stage.json" in first
    assert second.startswith("clone was repaired")


def test_missing_and_broken_files_become_remarks(run):
    (run / "run.json").unlink()
    (run / "config.yaml").write_text("a: [")
    (run / "metrics.json").write_text("{}")
    source = Source(run)
    assert (source.manifest, source.config, source.metrics) == ({}, {}, None)
    assert [problem.split(" ")[0] for problem in source.problems] == ["run.json", "config.yaml", "metrics.json"]


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "metrics.json"])
@pytest.mark.parametrize("content", ["", "[]"])
def test_an_empty_file_becomes_a_remark(run, name, content):
    (run / name).write_text(content)
    (problem,) = Source(run).problems
    assert problem.startswith(name)


def test_losses_are_read_as_far_as_they_were_logged(run):
    source = Source(run)
    clone = source.trainings()[0]
    assert len(source.losses(clone)) == 300
    clone.log.write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo')
    assert source.losses(clone) == [(1.0, 2.5)]
    clone.log.write_text('{"epoch": 1}\n')
    assert source.losses(clone) == []
    (problem,) = source.problems
    assert problem.startswith("clone/checkpoint/training.jsonl: ")


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(StorageError) as caught:
        Source(tmp_path / "nowhere")
    assert caught.value.code == "not-a-run"
