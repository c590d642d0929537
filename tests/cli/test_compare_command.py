"""`eef-run --seeds` and `eef compare`."""

import json

import pytest

from eef_framework.cli.seeds import SeedRuns
from eef_framework.errors import EefError


@pytest.fixture
def finished(folder, command):
    """Runs of two seeds, done one by one."""
    for seed in (3, 4):
        assert command("eef-run", "own.yaml", "--seed", seed, "--out", f"runs/own/seed-{seed}").code == 0
    return folder / "runs/own"


def test_runs_are_compared_and_drawn(finished, command):
    done = command("eef", "compare", finished, "--format", "csv", "--figure", "figure.svg", "--html", "page.html")
    assert done.code == 0
    assert [line.split(",")[:4] for line in done.out.splitlines()[1:]] == [
        ["success", "expert", "", "3 4"],
        ["success", "sft", "", "3 4"],
        ["success", "eef 1", "", "3 4"],
        ["difference", "eef 1", "expert", "3 4"],
        ["difference", "eef 1", "sft", "3 4"],
    ]
    assert (finished.parents[1] / "figure.svg").exists()
    assert "eef 1 - sft" in (finished.parents[1] / "page.html").read_text(encoding="utf-8")


def test_a_figure_that_can_not_be_drawn_is_refused_before_anything_is_read(folder, command):
    done = command("eef", "compare", "missing", "--figure", "figure.gif")
    assert "unknown-figure-format" in done.err


def test_a_page_never_replaces_a_file_that_is_not_one(folder, command):
    (folder / "mine.html").write_text("<p>mine")
    done = command("eef", "compare", "missing", "--html", "mine.html")
    assert (done.code, done.error.code) == (2, "output-exists")
    assert (folder / "mine.html").read_text() == "<p>mine"


@pytest.mark.slow
def test_seeds_that_fail_are_named_and_the_others_are_done(folder):
    runs = SeedRuns(["own.yaml"], [3, 4], ["evaluate.tasks.count"], folder / "runs/own-seeds", 2)
    made = runs.run()
    counts = [json.loads((path / "metrics.json").read_text())["rows"][0]["evaluation"]["episodes"] for path in made]
    assert counts == [3, 4]
    broken = SeedRuns(["own.yaml"], [4, -1], ["evaluate.tasks.count"], folder / "runs/own-seeds", 1)
    with pytest.raises(EefError) as failed:
        broken.run()
    assert (failed.value.code, failed.value.details["seeds"]) == ("seeds-failed", [-1])
    assert (folder / "runs/own-seeds/seed--1.log").stat().st_size > 0


@pytest.mark.slow
def test_several_seeds_are_run_resumed_and_compared(folder, command):
    arguments = ("eef-run", "own.yaml", "--seeds", 2, "--seed", 3, "--out", "runs/two")
    assert command(*arguments).code == 0
    first = (folder / "runs/two/seed-3/metrics.json").read_bytes()
    assert command(*arguments).code == 0
    assert (folder / "runs/two/seed-3/metrics.json").read_bytes() == first
    assert command("eef", "compare", "runs/two").code == 0


def test_a_file_that_is_not_a_log_of_ours_is_left_alone(folder):
    (folder / "out").mkdir()
    (folder / "out/seed-3.log").write_text("mine")
    with pytest.raises(EefError) as refused:
        SeedRuns(["own.yaml"], [2, 3], [], folder / "out", 1).run()
    assert refused.value.code == "foreign-file"
    assert [path.name for path in (folder / "out").iterdir()] == ["seed-3.log"]
    assert (folder / "out/seed-3.log").read_text() == "mine"


def test_a_run_directory_is_not_filled_with_runs_of_seeds(folder, command):
    assert command("eef-run", "own.yaml", "--out", "run").code == 0
    before = sorted(folder.rglob("*"))
    for more in ((), ("--dry-run",)):
        done = command("eef-run", "own.yaml", "--seeds", 2, "--out", "run", *more)
        assert (done.code, done.error.code) == (2, "is-a-run")
    assert sorted(folder.rglob("*")) == before


def test_a_dry_run_of_seeds_fits_what_they_left(folder, command):
    key = "evaluate.tasks.count"
    assert command("eef-run", "own.yaml", "--seed", 5, "--set", f"{key}=5", "--out", "runs/seed-5").code == 0
    (folder / "runs/seed-5.log").write_text("# eef-run --seeds\n")
    arguments = ("eef-run", "own.yaml", "--seeds", 2, "--seed", 5, "--out", "runs", "--dry-run")
    done = command(*arguments, "--per-seed", key)
    assert done.code == 0, done.err
    assert command(*arguments).error.code == "other-configuration"


@pytest.mark.parametrize("key", ["environment.nope", "method", "nope"])
def test_a_setting_that_cannot_be_the_seed_is_refused_before_any_run(folder, command, key):
    done = command("eef-run", "own.yaml", "--seeds", 2, "--out", "runs", "--per-seed", key)
    assert (done.code, done.error.code) == (2, "wrong-settings")
    assert not (folder / "runs").exists()


def test_a_first_seed_given_with_set_is_that_of_the_first_run_only(folder, command, monkeypatch):
    made = []

    def stop(runs):
        made.append(runs)
        raise EefError("stopped", code="stopped")

    monkeypatch.setattr(SeedRuns, "run", stop)
    done = command("eef-run", "own.yaml", "--seeds", 2, "--set", "seed=7", "--iterations", 1)
    assert done.error.code == "stopped"
    (runs,) = made
    assert list(runs.seeds) == [7, 8]
    assert runs.options == ["own.yaml", "--iterations", "1"]  # each process gets its own --seed
