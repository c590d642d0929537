from __future__ import annotations

import shutil

import pytest

from eef_framework.errors import StorageError
from eef_framework.records import Trajectory
from eef_framework.report.source import Source


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


def test_a_torn_last_line_is_told_apart_from_corruption(run):
    path = run / "collect/trajectories.jsonl"
    path.write_text(path.read_text()[:-30])
    source = Source(run)
    list(source.rows(path, Trajectory))
    (problem,) = source.problems
    assert "the last line is incomplete" in problem


def test_missing_and_broken_files_become_remarks(run):
    (run / "run.json").unlink()
    (run / "config.yaml").write_text("a: [")
    (run / "metrics.json").write_text("{}")
    source = Source(run)
    assert (source.manifest, source.config, source.metrics) == ({}, {}, None)
    assert [problem.split(" ")[0] for problem in source.problems] == ["run.json", "config.yaml", "metrics.json"]


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
