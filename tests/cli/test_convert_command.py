"""`eef convert`, `eef view`, and files of other formats among the phases."""

import json

import pytest

from eef_framework.errors import EefWarning
from eef_framework.formats import read_records
from eef_framework.records import Example, Trajectory
from eef_framework.runs import read_rows


@pytest.fixture
def theirs(command, folder):
    """Demonstrations of the corridor as somebody else may have stored them."""
    assert command("eef", "collect", "own.yaml", "--out", "own.jsonl").code == 0
    assert command("eef", "convert", "own.jsonl", "theirs.json", "--to", "sharegpt", "--plain").code == 0
    return folder / "theirs.json"


def test_episodes_are_matched_and_verified_by_replay(command, folder, theirs):
    done = command("eef", "convert", theirs, "back.jsonl", "--env", "corridor")
    assert done.code == 0, done.err
    assert "8 verified by replay" in done.out
    own, back = (list(read_rows(folder / name, Trajectory)) for name in ("own.jsonl", "back.jsonl"))
    assert [each.task for each in back] == [each.task for each in own]
    assert [each.actions for each in back] == [each.actions for each in own]


@pytest.mark.filterwarnings("always::eef_framework.errors.EefWarning")
def test_episodes_of_another_world_are_not_verified_and_that_is_told(command, folder, theirs):
    done = command("eef", "convert", theirs, "back.jsonl", "--env", "corridor", "--set", "tasks_per_split=2")
    assert done.code == 0, done.err
    assert "2 verified by replay" in done.out
    facts = [each.info["imported"] for each in read_rows(folder / "back.jsonl", Trajectory)]
    assert [each.get("unverified") for each in facts if not each["verified"]] == ["no-such-task"] * 6


@pytest.mark.filterwarnings("always::eef_framework.errors.EefWarning")
def test_why_episodes_are_not_verified_is_told(command, folder, theirs):
    done = command("eef", "convert", theirs, "back.jsonl", "--env", "corridor", "--set", "rooms=9")
    assert done.code == 0, done.err
    assert "; 2 verified by replay" in done.out
    assert "warning: " in done.err
    assert "2 of 8" in done.err
    assert "the environment's observation in state 1" in done.err


@pytest.mark.parametrize("arguments", [("view", "empty.jsonl"), ("convert", "empty.jsonl", "out.jsonl")])
def test_an_empty_file_is_refused_by_all_commands_alike(command, folder, arguments):
    (folder / "empty.jsonl").touch()
    done = command("eef", *arguments)
    assert (done.code, done.error.code) == (1, "no-rows")
    assert [path.name for path in folder.iterdir() if path.suffix in (".html", ".jsonl")] == ["empty.jsonl"]


@pytest.mark.parametrize("arguments", [("view", "run"), ("convert", "run", "out.jsonl", "--to", "sharegpt")])
def test_a_run_directory_is_refused_and_its_files_are_named(command, folder, arguments):
    assert command("eef-run", "own.yaml", "--out", "run").code == 0
    done = command("eef", *arguments)
    assert (done.code, done.error.code) == (2, "is-a-run")
    for name in ("collect/trajectories.jsonl", "methods/eef/1/explore/simulations.jsonl"):
        assert f"run/{name}" in done.error.details["files"]
    assert all(command("eef", "view", file).code == 0 for file in done.error.details["files"])


def test_verification_needs_trajectories(command, theirs):
    done = command("eef", "convert", theirs, "o.jsonl", "--env", "corridor", "--to", "messages")
    assert (done.code, done.error.code) == (2, "nothing-to-verify")


def test_our_own_records_need_a_target(command, folder, theirs):
    done = command("eef", "convert", "own.jsonl", "o.jsonl")
    assert (done.code, done.error.code) == (2, "format-needed")
    assert not (folder / "o.jsonl").exists()


def test_an_unknown_ending_is_told_before_a_missing_format(command, theirs):
    done = command("eef", "convert", "own.jsonl", "o.xyz")
    assert (done.code, done.error.code) == (2, "unknown-ending")
    assert "'.xyz'" in done.error.message
    assert ".parquet" in done.error.fix


def test_an_ending_may_name_the_format(command, folder, theirs):
    done = command("eef", "convert", "own.jsonl", "o.eval")
    assert done.code == 0, done.err
    assert command("eef", "convert", "o.eval", "back.jsonl").code == 0
    own, back = (list(read_rows(folder / name, Trajectory)) for name in ("own.jsonl", "back.jsonl"))
    assert back == own


def test_a_format_can_be_named_in_place_of_being_recognised(command, folder, theirs):
    assert command("eef", "convert", theirs, "o.jsonl", "--from", "messages").error.code == "no-rows"
    assert command("eef", "convert", theirs, "o.jsonl", "--from", "sharegpt").code == 0


def test_only_a_format_that_was_not_named_is_asked_for(command, folder):
    (folder / "x.jsonl").write_text('{"a": 1}\n')
    detected, named = (command("eef", "convert", "x.jsonl", "o.jsonl", *more) for more in ((), ("--from", "react")))
    assert (detected.error.code, named.error.code) == ("no-rows", "no-rows")
    assert "--from" in detected.error.fix
    assert "--from" not in named.error.fix
    assert "'react'" in named.error.fix


def test_a_named_format_counts_also_where_a_row_looks_like_our_example(command, folder):
    given = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "go", "weight": 1}]
    (folder / "m.jsonl").write_text(json.dumps({"id": "a", "messages": given}) + "\n")
    done = command("eef", "convert", "m.jsonl", "o.jsonl", "--from", "messages")
    assert done.code == 0, done.err
    (found,) = read_rows(folder / "o.jsonl", Trajectory)
    assert (found.id, found.actions, found.info["imported"]["format"]) == ("a", ("go",), "messages")


@pytest.mark.filterwarnings("default")
def test_a_broken_row_of_another_format_is_left_out_wherever_the_file_is_read(command, folder):
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "go"}]
    rows = {"id": "a", "messages": turns}, {"id": "b", "messages": turns[1:]}
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command("eef", "view", "m.jsonl").code == 0
    with pytest.warns(EefWarning) as told:
        (found,) = read_records(folder / "m.jsonl", Example)  # as `eef train` does
    assert (found.id, told[0].message.code) == ("a", "rows-left-out")


def test_our_own_format_named_with_from_needs_a_target_too(command, theirs):
    done = command("eef", "convert", "own.jsonl", "o.jsonl", "--from", "trajectories")
    assert (done.code, done.error.code) == (2, "format-needed")


def test_a_file_that_is_missing_is_told(command):
    done = command("eef", "convert", "nothing.jsonl", "o.jsonl")
    assert (done.code, done.error.code) == (1, "no-such-file")
    assert command("eef", "view", "nothing.jsonl").error.code == "no-such-file"


@pytest.mark.parametrize("out", ["out", "out.xyz", "own.yaml", "out.eval"])
def test_a_missing_file_is_told_before_what_is_wrong_with_the_new_one(command, folder, out):
    done = command("eef", "convert", "nothing", out)
    assert (done.error.code, done.error.details["path"]) == ("no-such-file", "nothing")


def test_a_page_of_any_file(command, folder, theirs):
    done = command("eef", "view", theirs)
    assert done.code == 0, done.err
    assert (folder / "theirs.json.html").stat().st_size > 10_000
    assert command("eef", "view", "own.jsonl", "--out", "page.html").code == 0


def test_a_run_explores_from_verified_episodes_of_another_format(command, folder, theirs):
    done = command("eef-run", "own.yaml", "--set", "collect.trajectories=theirs.json", "--out", "run")
    assert done.code == 0, done.err


def test_exploring_from_unverified_episodes_is_refused(command, folder, theirs):
    assert command("eef", "base", "own.yaml", "--demonstrations", "own.jsonl", "--out", "base").code == 0
    done = command("eef", "explore", "own.yaml", "--demonstrations", theirs, "--model", "base", "--out", "explored")
    assert (done.code, done.error.code) == (2, "unverified-demonstrations")


@pytest.mark.filterwarnings("always::eef_framework.errors.EefWarning")
def test_training_takes_examples_of_another_format(command, folder, theirs):
    assert command("eef", "base", "own.yaml", "--demonstrations", "own.jsonl", "--out", "base").code == 0
    done = command("eef", "train", "own.yaml", "--examples", theirs, "--model", "base", "--out", "trained")
    assert done.code == 0, done.err
    failures = sum(each.reward < 1 for each in read_rows(folder / "own.jsonl", Trajectory))
    assert f"{failures} of 8 examples" in done.err
    (folder / "m.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}) + "\n"
    )
    assert command("eef", "convert", "m.jsonl", "e2.jsonl", "--to", "examples").code == 0
    assert [each.trained_turns for each in read_rows(folder / "e2.jsonl", Example)] == [1]
