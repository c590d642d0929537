"""The phases one by one, each from the files of those before it."""

import json

import pytest

from eef_framework.records import Checkpoint, Example, Trajectory
from eef_framework.runs import read_rows, write_rows
from eef_framework.testing.corridor import Corridor

ATTRIBUTION = "eef_framework.testing.plugin,attribution"


@pytest.fixture
def collected(command, folder):
    done = command("eef", "collect", "own.yaml", "--out", "demonstrations.jsonl")
    assert done.code == 0, done.err
    assert done.out.startswith("demonstrations.jsonl: 8 trajectories, ")
    return folder / "demonstrations.jsonl"


def test_demonstrations_are_written_as_records(collected):
    assert len(list(read_rows(collected, Trajectory))) == 8


def test_the_phases_follow_one_another_through_files(command, folder, collected):
    def eef(*arguments):
        done = command("eef", *arguments)
        assert done.code == 0, done.err
        return done.out

    given = ("--demonstrations", collected)
    assert eef("base", "own.yaml", *given, "--out", "base").startswith("base: ")
    assert eef("select", "own.yaml", *given, "--out", "clone.jsonl").startswith("clone.jsonl: ")
    eef("train", "own.yaml", "--examples", "clone.jsonl", "--model", "base", "--out", "cloned")
    explored = eef("explore", "own.yaml", *given, "--model", "cloned", "--out", "explored")
    assert "explored: 8 simulations" in explored
    eef("select", "own.yaml", *given, "--explored", "explored", "--out", "examples.jsonl")
    assert list(read_rows(folder / "examples.jsonl", Example))
    assert "6 test tasks; success" in eef("evaluate", "own.yaml", "--model", "cloned", "--out", "episodes.jsonl")


def test_episodes_of_another_model_are_not_taken_for_this_ones(command, folder, collected):
    given = ("--demonstrations", collected)
    for name in ("base", "other"):
        done = command("eef", "base", "own.yaml", *given, "--out", name, "--seed", len(name))
        assert done.code == 0, done.err
    assert command("eef", "evaluate", "own.yaml", "--model", "base", "--out", "episodes.jsonl").code == 0
    before = (folder / "episodes.jsonl").read_bytes()
    done = command("eef", "evaluate", "own.yaml", "--model", "other", "--out", "episodes.jsonl")
    assert (done.code, done.error.code) == (1, "other-settings")
    assert "model: 'base (" in done.error.message
    assert command("eef", "evaluate", "own.yaml", "--model", "base", "--out", "episodes.jsonl").code == 0
    assert (folder / "episodes.jsonl").read_bytes() == before


@pytest.mark.parametrize("phase", ["collect", "explore", "evaluate"])
def test_episodes_of_tasks_that_have_changed_are_not_continued(command, folder, collected, monkeypatch, phase):
    given = ("--demonstrations", collected)
    assert command("eef", "base", "own.yaml", *given, "--out", "base").code == 0
    options = {
        "collect": ("--out", "demonstrations.jsonl"),
        "explore": (*given, "--model", "base", "--out", "explored"),
        "evaluate": ("--model", "base", "--out", "episodes.jsonl"),
    }
    again = ("eef", phase, "own.yaml", *options[phase])
    assert command(*again).code == 0
    tasks = Corridor.tasks
    changed = lambda self, split: [task.changed(fingerprint="changed") for task in tasks(self, split)]  # noqa: E731
    if phase == "explore":  # its tasks are those of the demonstrations
        rows = [row.changed(task=row.task.changed(fingerprint="changed")) for row in read_rows(collected, Trajectory)]
        write_rows(folder / "explored" / "simulations.jsonl", rows)
    monkeypatch.setattr(Corridor, "tasks", changed)
    before = {path: path.read_bytes() for path in folder.rglob("*.jsonl")}
    done = command(*again)
    assert (done.code, done.error.code) == (1, "other-world")
    assert {path: path.read_bytes() for path in folder.rglob("*.jsonl")} == before


def test_a_model_is_evaluated_without_an_expert_and_as_the_settings_name_it(command, folder):
    (folder / "alone.yaml").write_text("environment: corridor\npolicy: lookup\nevaluate: {tasks: {count: 6}}\n")
    done = command("eef", "evaluate", "alone.yaml", "--out", "episodes.jsonl")
    assert done.code == 0, done.err
    assert "6 test tasks; success" in done.out
    done = command("eef", "collect", "alone.yaml", "--out", "demonstrations.jsonl")
    assert (done.code, done.error.code) == (2, "expert-missing")
    assert "expert=NAME" in done.error.fix
    assert not (folder / "demonstrations.jsonl").exists()


def test_a_model_that_is_made_from_demonstrations_has_to_be_given(command, folder):
    (folder / "alone.yaml").write_text("environment: corridor\nevaluate: {tasks: {count: 6}}\n")
    done = command("eef", "evaluate", "alone.yaml", "--out", "episodes.jsonl")
    assert (done.code, done.error.code) == (2, "no-conversations")
    assert "policy.model" in done.error.fix


def test_more_demonstrations_are_added_and_fewer_throw_none_away(command, collected):
    before = list(read_rows(collected, Trajectory))
    for count in (12, 3):
        done = command("eef", "collect", "own.yaml", "--out", collected, "--set", f"collect.tasks.count={count}")
        assert done.code == 0, done.err
        assert f": {count} trajectories" in done.out
        rows = list(read_rows(collected, Trajectory))
        assert len(rows) == 12
        assert [row for row in rows if row in before] == before


def test_pairs_are_chosen_where_that_is_set(command, folder, collected):
    done = command("eef", "base", "own.yaml", "--demonstrations", collected, "--out", "base")
    assert done.code == 0, done.err
    given = ("own.yaml", "--demonstrations", collected)
    done = command("eef", "explore", *given, "--model", "base", "--out", "explored")
    assert done.code == 0, done.err
    choose = ("eef", "select", *given, "--explored", "explored", "--out", "pairs.jsonl", "--set", "select.pairs=true")
    assert command(*choose).error.code == "pairs-of-turns"
    done = command(*choose, "--set", "format.history=null")
    assert done.code == 0, done.err
    pairs = list(read_rows(folder / "pairs.jsonl", Example))
    assert pairs
    assert all(pair.rejected for pair in pairs)


def test_attribution_needs_an_attributor(command, collected):
    done = command(
        *("eef", "attribute", "own.yaml", "--demonstrations", collected),
        *("--simulations", collected, "--out", "attributions.jsonl"),
    )
    assert (done.code, done.error.code) == (2, "attributor-missing")


def test_a_file_that_is_missing_is_told(command):
    done = command("eef", "select", "own.yaml", "--demonstrations", "nothing.jsonl", "--out", "x.jsonl")
    assert (done.code, done.error.code) == (1, "no-such-file")
    assert "nothing.jsonl" in done.error.message


def test_a_damaged_row_is_set_aside_by_repair(command, collected):
    rows = collected.read_bytes().splitlines(keepends=True)
    trajectories = collected.with_name("trajectories.jsonl")
    trajectories.write_bytes(b"".join([*rows[:3], b"{oh no}\n", *rows[3:]]))
    done = command("eef", "repair", "trajectories.jsonl")
    assert done.code == 0
    assert trajectories.with_name("trajectories.jsonl.bad").read_bytes() == b"{oh no}\n"
    assert trajectories.read_bytes() == b"".join(rows)
    assert command("eef", "repair", "trajectories.jsonl").code == 0
    assert trajectories.read_bytes() == b"".join(rows)


def test_a_file_of_unknown_content_is_not_repaired(command, folder):
    (folder / "notes.txt").write_text("mine")
    done = command("eef", "repair", "notes.txt")
    assert (done.code, done.error.code) == (1, "foreign-file")
    assert (folder / "notes.txt").read_text() == "mine"


def test_paths_in_options_and_settings_may_begin_at_home(command, folder, monkeypatch):
    (folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    assert command("eef", "collect", "own.yaml", "--out=~/t.jsonl").code == 0
    written = folder / "home" / "t.jsonl"
    assert written.is_file()
    assert command("eef", "check", "~/t.jsonl").code == 0
    done = command("eef", "select", "$HOME/../own.yaml", "--demonstrations=~/t.jsonl", "--out", "$HOME/e.jsonl")
    assert done.code == 0, done.err
    for setting in ("collect.trajectories=~/t.jsonl", "format.shots=$HOME/t.jsonl"):
        done = command("eef-run", "own.yaml", "--set", setting, "--out=~/run", "--dry-run")
        assert done.code == 0, done.err
    done = command("eef-run", "own.yaml", "--set", "collect.trajectories=~/t.jsonl", "--out=~/run")
    assert done.code == 0, done.err
    assert (folder / "home" / "run" / "report.html").is_file()
    assert not (folder / "~").exists()


def test_an_input_is_never_the_output(command, collected):
    before = collected.read_bytes()
    link = collected.with_name("link.jsonl")
    link.hardlink_to(collected)
    for out in (collected, link):
        for arguments in (
            ("select", "own.yaml", "--demonstrations", collected, "--out", out),
            ("attribute", "own.yaml", "--demonstrations", collected, "--simulations", collected, "--out", out),
        ):
            done = command("eef", *arguments)
            assert (done.code, done.error.code) == (2, "output-is-input")
    assert collected.read_bytes() == before


def test_outputs_that_are_somebody_elses_are_refused(command, collected, folder):
    mine = folder / "mine"
    mine.mkdir()
    (mine / "model.safetensors").write_text("weights")
    (folder / "notes.jsonl").write_text("my notes")
    other = folder / "other.jsonl"
    other.write_bytes(collected.read_bytes())
    train = ("train", "own.yaml", "--examples", collected, "--model", mine, "--out", mine)
    for arguments, code in (
        (("select", "own.yaml", "--demonstrations", collected, "--out", "notes.jsonl"), "foreign-file"),
        (("select", "own.yaml", "--demonstrations", collected, "--out", other), "wrong-kind"),
        (("base", "own.yaml", "--demonstrations", collected, "--out", mine), "not-ours"),
        (train, "output-is-input"),
        (("select", "own.yaml", "--demonstrations", collected, "--out", "new.jsonl.gz"), "compressed-output"),
    ):
        done = command("eef", *arguments)
        assert done.code in (1, 2)
        assert done.error.code == code
    assert (folder / "notes.jsonl").read_text() == "my notes"
    assert other.read_bytes() == collected.read_bytes()
    assert [path.name for path in mine.iterdir()] == ["model.safetensors"]


@pytest.fixture
def train(command, collected):
    """Return a function that trains `cloned` on `clone.jsonl`, with further options, by the command line."""
    given = ("own.yaml", "--demonstrations", collected)
    assert command("eef", "base", *given, "--out", "base").code == 0
    assert command("eef", "select", *given, "--out", "clone.jsonl").code == 0

    def train(*options):
        inputs = ("--examples", "clone.jsonl", "--model", "base", "--out", "cloned")
        return command("eef", "train", "own.yaml", *inputs, *options)

    return train


def contents(path):
    return {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in path.iterdir() if each.is_file()}


def test_a_training_that_was_finished_before_is_not_repeated(train, folder):
    first = train()
    assert first.code == 0, first.err
    before = contents(folder / "cloned")
    again = train()
    assert (again.code, again.out, "done before" in again.err) == (0, first.out, True)
    assert contents(folder / "cloned") == before


@pytest.mark.parametrize("changed", ["seed", "trainer", "examples", "model"])
def test_a_finished_training_is_not_replaced_by_another(train, folder, changed):
    assert train().code == 0
    before = contents(folder / "cloned")
    if changed == "examples":
        rows = list(read_rows(folder / "clone.jsonl", Example))
        write_rows(folder / "clone.jsonl", rows[:-1])
    elif changed == "model":
        Checkpoint.of_json(folder / "base", {"page": {"go": 1.0}})
    options = {"seed": ("--seed", 7), "trainer": ("--set", "clone.trainer.decay=0.5")}
    done = train(*options.get(changed, ()))
    assert (done.code, done.error.code) == (1, "other-settings")
    assert [change.partition(":")[0].partition(".")[0] for change in done.error.details["changes"]] == [changed]
    assert contents(folder / "cloned") == before


def test_another_model_is_not_written_into_the_folder_of_a_training(train, command, collected, folder):
    assert train().code == 0
    before = contents(folder / "cloned")
    done = command("eef", "base", "own.yaml", "--demonstrations", collected, "--out", "cloned")
    assert (done.code, done.error.code) == (1, "other-settings")
    assert contents(folder / "cloned") == before


def test_a_training_of_an_earlier_version_is_not_replaced(train, folder):
    assert train().code == 0
    (folder / "cloned/training.settings.yaml").unlink()
    before = contents(folder / "cloned")
    done = train()
    assert (done.code, done.error.code) == (1, "not-recorded")
    assert contents(folder / "cloned") == before


def test_a_training_that_failed_before_it_made_anything_can_be_changed(train, folder):
    (folder / "none.jsonl").write_text("")
    assert train("--examples", "none.jsonl").error.code == "nothing-to-train"
    assert train().code == 0


@pytest.mark.filterwarnings("default")
def test_demonstrations_that_are_used_in_part_are_counted(command, collected):
    done = command(
        *("eef-run", "own.yaml", "--set", "collect.tasks.count=3", "--set", f"collect.trajectories={collected}"),
        *("--out", "part"),
    )
    assert done.code == 0, done.err
    assert "8 trajectories given, 3 used: 5 " in done.err


def test_empty_demonstrations_and_simulations_of_something_else_are_errors(command, folder, collected):
    (folder / "empty.jsonl").write_text("")
    for phase, out in (("base", "made"), ("select", "x.jsonl")):
        done = command("eef", phase, "own.yaml", "--demonstrations", "empty.jsonl", "--out", out)
        assert (done.code, done.error.code) == (1, "no-demonstrations")
    given = ("--demonstrations", collected, "--set", "attributor=interval", "--plugins", ATTRIBUTION)
    done = command("eef", "attribute", "own.yaml", *given, "--simulations", collected, "--out", "x.jsonl")
    assert (done.code, done.error.code) == (1, "attributions-failed")
    other = ("--set", "collect.tasks.split=dev", "--set", "collect.tasks.count=4")
    assert command("eef", "collect", "own.yaml", "--out", "explored/simulations.jsonl", *other).code == 0
    done = command(
        *("eef", "select", "own.yaml", "--demonstrations", collected, "--explored", "explored", "--out", "x.jsonl")
    )
    assert (done.code, done.error.code) == (1, "other-simulations")
    (folder / "explored/simulations.jsonl").write_bytes(collected.read_bytes())  # the demonstrations themselves
    done = command(
        *("eef", "select", "own.yaml", "--demonstrations", collected, "--explored", "explored", "--out", "x.jsonl")
    )
    assert (done.code, done.error.code) == (1, "other-simulations")
    rows = list(read_rows(collected, Trajectory))  # of the same tasks, as they were in another version
    write_rows(
        folder / "explored/simulations.jsonl",
        [row.changed(id=f"{row.id}/0", task=row.task.changed(fingerprint="former")) for row in rows],
    )
    done = command(
        *("eef", "select", "own.yaml", "--demonstrations", collected, "--explored", "explored", "--out", "x.jsonl")
    )
    assert (done.code, done.error.code) == (1, "other-simulations")
    assert not (folder / "x.jsonl").exists()


def test_an_expert_that_solved_nothing_leaves_nothing_to_select(command, folder):
    done = command("eef", "collect", "own.yaml", "--out", "bad.jsonl", "--set", "expert.skill=0.0")
    assert done.code == 0, done.err
    done = command("eef", "select", "own.yaml", "--demonstrations", "bad.jsonl", "--out", "x.jsonl")
    assert (done.code, done.error.code) == (1, "nothing-solved")


def test_an_evaluation_names_the_split_it_played(command, folder, collected):
    assert command("eef", "base", "own.yaml", "--demonstrations", collected, "--out", "base").code == 0
    given = ("--model", "base", "--set", "evaluate.tasks.split=train", "--out", "episodes.jsonl")
    done = command("eef", "evaluate", "own.yaml", *given)
    assert done.code == 0, done.err
    assert "6 train tasks; success" in done.out
    assert "agent on train tasks" in done.err
    assert "held-out" not in done.out + done.err


@pytest.mark.parametrize("method", ["../../evil", "/tmp/evil", "..", "a/b", "\x1b[2J", ""])
def test_no_name_of_a_method_leads_out_of_the_run(command, folder, method):
    (folder / "evil.yaml").write_text((folder / "own.yaml").read_text() + f"method: {json.dumps(method)}\n")
    before = set(folder.iterdir())
    done = command("eef-run", "evil.yaml", "--out", "run")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize(("there", "code"), [(False, "no-such-folder"), (True, "policy-failed")])
def test_an_exploration_that_fails_on_its_model_leaves_nothing(command, folder, collected, there, code):
    if there:
        (folder / "nowhere").mkdir()
    before = sorted(folder.rglob("*"))
    done = command(
        "eef", "explore", "own.yaml", "--demonstrations", collected, "--model", "nowhere", "--out", "explored"
    )
    assert (done.code, done.error.code) == (1 if there else 2, code)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(("given", "checkpoints"), [("run", ["base", "clone"]), ("run/clone", ["clone"])])
def test_a_run_in_place_of_its_checkpoint_is_answered_with_the_checkpoints(command, folder, given, checkpoints):
    assert command("eef-run", "own.yaml", "--set", "iterations=0", "--out", "run").code == 0
    done = command("eef", "evaluate", "own.yaml", "--model", given, "--out", "episodes.jsonl")
    assert (done.code, done.error.code) == (2, "not-a-checkpoint")
    assert done.error.details["checkpoints"] == [f"run/{name}/checkpoint" for name in checkpoints]


@pytest.mark.parametrize("explored", ["nowhere", "own.yaml", "empty"])
def test_explorations_that_are_missing_are_an_error_not_an_empty_choice(command, folder, collected, explored):
    (folder / "empty").mkdir()
    given = ("--demonstrations", collected, "--out", "examples.jsonl")
    done = command("eef", "select", "own.yaml", *given, "--explored", explored)
    assert done.code != 0
    assert done.error.code in ("no-such-file", "not-a-folder")
    assert done.error.details["path"] == str(folder / explored / "simulations.jsonl") or (
        done.error.details["path"] == f"{explored}/simulations.jsonl"
    )
    assert not (folder / "examples.jsonl").exists()


def test_a_phase_sends_its_figures_to_trackers_that_are_configured(command, folder, collected):
    assert not [path for path in folder.iterdir() if "figures" in path.name]
    given = ("--set", "trackers=[files]")
    assert command("eef", "base", "own.yaml", "--demonstrations", collected, "--out", "base", *given).code == 0
    assert not (folder / "base-figures").exists()  # it has none
    assert command("eef", "select", "own.yaml", "--demonstrations", collected, "--out", "clone.jsonl").code == 0
    trained = ("eef", "train", "own.yaml", "--examples", "clone.jsonl", "--model", "base", "--out", "cloned", *given)
    assert command(*trained).code == 0
    rows = [json.loads(line) for line in (folder / "cloned-figures/figures.jsonl").read_text().splitlines()]
    log = [json.loads(line) for line in (folder / "cloned/training.jsonl").read_text().splitlines()]
    shown = [(row["step"], row["value"]) for row in rows if row["figure"] == "train/loss"]
    assert shown == [(row["step"], row["loss"]) for row in log]
    done = command("eef", "evaluate", "own.yaml", "--model", "cloned", "--out", "episodes.jsonl", *given)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (folder / "episodes.jsonl-figures/figures.jsonl").read_text().splitlines()]
    assert {"evaluate/success", "evaluate/reward", "evaluate/cost/steps"} <= {row["figure"] for row in rows}
    assert command(*trained[:-2], "--set", "trackers=[nothing]").error.code == "unknown-name"
