"""Repair within a run: the stage is opened again, and what was made of other rows is done again."""

import json

import pytest

from eef_framework.records import Attribution, Trajectory
from eef_framework.runs import read_rows


@pytest.fixture
def run(command, folder):
    """A finished run; returns its folder."""
    done = command("eef-run", "own.yaml", "--out", "run")
    assert done.code == 0, done.err
    return folder / "run"


def again(command):
    return command("eef-run", "own.yaml", "--out", "run")


def metrics(run):
    """Return the results, without times."""
    found = json.loads((run / "metrics.json").read_text())
    return json.dumps(found, sort_keys=True)


def broken(path):
    """Damage the second row; return the file's content before."""
    before = path.read_bytes()
    lines = before.splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{damaged" + lines[1][8:], *lines[2:]]))
    return before


def rows(path):
    return [row.changed(seconds=0.0, provenance=None) for row in read_rows(path, Trajectory)]


@pytest.mark.parametrize("name", ["collect/trajectories.jsonl", "evaluate/clone/trajectories.jsonl"])
def test_a_repaired_stage_is_completed_again_and_ends_with_the_same_rows(command, run, name):
    before, stages = rows(run / name), sorted(run.rglob("stage.json"))
    broken(run / name)
    assert command("eef", "check", run / name).error.code == "corrupt-row"
    done = command("eef", "repair", run / name)
    assert done.code == 0, done.err
    assert not (run / name).with_name("stage.json").exists()
    done = again(command)
    assert done.code == 0, done.err
    assert rows(run / name) == before
    assert sorted(run.rglob("stage.json")) == stages
    assert not list(run.rglob("reopened.json"))
    assert not list(run.rglob(".stale*")), "equal rows were redone, so that nothing made of them is stale"


@pytest.mark.filterwarnings("default")
def test_what_was_made_of_other_rows_is_set_aside_and_done_again(command, run, folder):
    broken(run / "collect/trajectories.jsonl")
    assert command("eef", "repair", run / "collect/trajectories.jsonl").code == 0
    manifest = run / "collect/reopened.json"
    content = json.loads(manifest.read_text())
    content["digests"] = {"trajectories.jsonl": "of other rows"}
    manifest.write_text(json.dumps(content))
    expert = (run / "evaluate/expert/stage.json").read_bytes() if (run / "evaluate/expert").exists() else None
    clone = (run / "clone/examples.jsonl").read_bytes()
    done = again(command)
    assert done.code == 0, done.err
    assert "stage 'collect' has other rows" in done.err
    assert (run / "clone/.stale-0/examples.jsonl").read_bytes() == clone
    assert (run / "clone/.stale-0/stage.json").exists()
    assert (run / "clone/stage.json").exists()
    if expert is not None:
        assert (run / "evaluate/expert/stage.json").read_bytes() == expert
    assert not list((run / "collect").glob(".stale*"))


def test_rows_that_went_missing_are_found_before_anything_is_done(command, run):
    path = run / "collect/trajectories.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    done = again(command)
    assert (done.code, done.error.code) == (1, "rows-missing")
    assert command("eef", "repair", path).code == 0
    assert again(command).code == 0
    assert len(path.read_bytes().splitlines()) == len(lines)


@pytest.mark.parametrize("name", ["collect/trajectories.jsonl", "methods/eef/1/evaluate/trajectories.jsonl"])
@pytest.mark.parametrize("lose", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_file_that_went_missing_is_made_again_after_repair(command, run, name, lose):
    before = rows(run / name)
    lose(run / name)
    assert again(command).error.code == "rows-missing"
    assert command("eef", "repair", run / name).code == 0
    done = again(command)
    assert done.code == 0, done.err
    assert rows(run / name) == before


def test_a_misspelt_file_reopens_no_stage(command, run):
    assert command("eef", "repair", run / "collect/trajectory.jsonl").error.code == "no-such-file"
    assert (run / "collect/stage.json").exists()


def test_a_file_of_the_run_that_is_in_order_stays_as_it_is(command, run):
    path = run / "collect/trajectories.jsonl"
    before = path.read_bytes()
    assert command("eef", "repair", path).code == 0
    assert path.read_bytes() == before
    assert (run / "collect/stage.json").exists()


ATTRIBUTOR = """
from pathlib import Path
from eef_framework import Attributor, Segment

class Picky(Attributor):
    async def attribute(self, trajectory, simulate):
        if trajectory.task.id.endswith("-003") and Path("broken").exists():
            raise ValueError("not to my taste")
        return [Segment(start=0, end=1, verdict="neutral")]
"""


@pytest.mark.filterwarnings("default")
def test_failed_attributions_are_made_again_after_repair(command, folder):
    (folder / "picky.py").write_text(ATTRIBUTOR)
    (folder / "broken").touch()
    start = ("eef-run", "own.yaml", "--set", "attributor=picky:Picky", "--out", "run")
    path = folder / "run/methods/eef/1/explore/attributions.jsonl"

    def failed():
        return [row.trajectory for row in read_rows(path, Attribution) if row.error]

    done = command(*start)
    assert done.code == 0, done.err
    first, simulations = failed(), (path.parent / "simulations.jsonl").read_bytes()
    assert len(first) == 1
    examples = (folder / "run/methods/eef/1/select/examples.jsonl").read_bytes()
    assert command("eef", "repair", path).code == 0
    assert not (path.parent / "stage.json").exists()
    assert command(*start).code == 0
    assert failed() == first, "the cause isn't fixed"
    assert not list(folder.rglob(".stale*"))
    (folder / "broken").unlink()
    assert command(*start).code == 0
    assert failed() == first, "the stage is complete"
    assert command("eef", "repair", path).code == 0
    assert command(*start).code == 0
    assert failed() == []
    assert (path.parent / "simulations.jsonl").read_bytes() == simulations
    assert (folder / "run/methods/eef/1/select/.stale-0/examples.jsonl").read_bytes() == examples
    assert (folder / "run/methods/eef/1/select/stage.json").exists()
    assert command("eef", "repair", path).code == 0
    assert (path.parent / "stage.json").exists(), "nothing failed"


def test_lost_episodes_of_a_complete_stage_are_played_again_after_repair(command, run):
    path = run / "evaluate/clone/trajectories.jsonl"
    before = rows(path)
    lost = json.loads(path.read_bytes().splitlines()[0]) | {"ending": "error", "error": "no answer", "reward": 0.0}
    path.write_bytes(b"\n".join([json.dumps(lost).encode(), *path.read_bytes().splitlines()[1:], b""]))
    assert command("eef", "repair", path).code == 0
    assert again(command).code == 0
    redone = rows(path)
    assert [row.lost for row in redone] == [False] * len(before)
    for row, first in zip(redone, before, strict=True):
        assert (row.id, row.actions, row.reward) == (first.id, first.actions, first.reward)
