import json
import os
import threading

import pytest
import yaml

MISFIT = """
from eef_framework import Environment, ScriptedExpert

class Elsewhere(Environment):
    def tasks(self, split):
        return []
    def open(self, task):
        raise NotImplementedError

class Misfit(ScriptedExpert):
    plays = Elsewhere
    def script(self, session, draw):
        return iter(())
"""

ATTRIBUTOR = """
from eef_framework import Attributor

class Undecided(Attributor):
    async def attribute(self, trajectory, simulate):
        await simulate(1)
        return []
"""


def test_a_run_ends_with_its_table_and_the_place_of_the_report(command, folder):
    done = command("eef-run", "own.yaml")
    assert done.code == 0, done.err
    assert "expert" in done.out
    assert "clone" in done.out
    assert done.out.rstrip().endswith("report: runs/own/report.html")
    assert json.loads((folder / "runs/own/metrics.json").read_text())["rows"]


def test_repeating_a_command_takes_the_run_up(command, folder):
    first = command("eef-run", "own.yaml", "--out", "again")
    written = (folder / "again/metrics.json").read_text()
    second = command("eef-run", "own.yaml", "--out", "again")
    assert (first.code, second.code) == (0, 0)
    assert "done before" in second.out
    assert (folder / "again/metrics.json").read_text() == written


def test_another_configuration_is_refused_in_the_same_folder(command):
    command("eef-run", "own.yaml")
    done = command("eef-run", "own.yaml", "--seed", "1")
    assert (done.code, done.error.code) == (1, "other-configuration")
    assert "seed: 0 -> 1" in done.error.message


@pytest.mark.filterwarnings("always::eef_framework.errors.EefWarning")
def test_a_class_in_the_current_folder_attributes_and_silence_is_reported(command, folder):
    (folder / "idea_of_mine.py").write_text(ATTRIBUTOR)
    done = command("eef-run", "own.yaml", "--set", "attributor=idea_of_mine:Undecided")
    assert done.code == 0, done.err
    assert list(folder.glob("runs/own/methods/*/1/explore/attributions.jsonl"))
    assert done.err.count("no verdict on any action") == 1
    assert "No action has a verdict" in (folder / "runs/own/report.html").read_text(encoding="utf-8")


def test_a_dry_run_shows_configuration_and_plan_and_writes_nothing(command, folder):
    done = command("eef-run", "own.yaml", "--dry-run", "--set", "explore.simulations=3", "--seed", "5")
    assert done.code == 0, done.err
    written = yaml.safe_load(done.out)
    assert (written["explore"]["simulations"], written["seed"]) == (3, 5)
    rows = {tuple(line.split()) for line in done.err.splitlines()}
    assert any(row[:3] == ("eef/1:", "explore", "24") for row in rows)
    assert not (folder / "runs").exists()
    (folder / "again.yaml").write_text(done.out)
    assert command("eef-run", "again.yaml", "--dry-run").out == done.out


def test_yaml_of_a_dry_run_is_never_wrapped(command, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = "go east and then go west, " * 8
    done = command("eef-run", "own.yaml", "--dry-run", "--set", f"policy.template={text!r}")
    assert yaml.safe_load(done.out)["policy"]["template"] == text


@pytest.mark.parametrize("section", ["collect", "evaluate"])
def test_a_split_that_does_not_exist_is_told_with_its_setting(command, section):
    done = command("eef-run", "own.yaml", "--dry-run", "--set", f"{section}.tasks.split=tset")
    assert (done.code, done.error.code) == (2, "no-such-split")
    assert f"{section}.tasks.split" in done.error.fix


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (["evaluate.tasks.count=1000"], "too-few-tasks"),
        (["collect.tasks.count=1000"], "too-few-tasks"),
        (["collect.tasks.split=tset"], "no-such-split"),
        (["policy=scripted"], "policy-without-weights"),
        (["policy=transformers"], "trainer-for-another-policy"),
        (["explore.matched=true"], "nothing-to-match"),
        (["expert=misfit"], "expert-misfit"),
        (["trackers=[{name: wandb, mode: online}]"], "no-key"),
        (["collect.trajectories=nowhere.jsonl"], "no-such-file"),
    ],
)
def test_a_dry_run_finds_what_a_run_finds_in_its_first_second(command, folder, settings, code, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(folder / "none"))
    (folder / "misfits.py").write_text(MISFIT)
    given = [part.replace("=misfit", "=misfits:Misfit") for part in settings]
    arguments = [part for setting in given for part in ("--set", setting)]
    outcomes = [command("eef-run", "own.yaml", *arguments, *dry) for dry in (["--dry-run"], [])]
    assert all(done.code in (1, 2) for done in outcomes)
    assert outcomes[0].err == outcomes[1].err
    assert [done.error.code for done in outcomes] == [code, code]
    assert not (folder / "runs").exists()


def test_a_dry_run_finds_a_folder_of_another_run(command, folder):
    assert command("eef-run", "own.yaml", "--out", "here").code == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in (folder / "here").rglob("*"))
    done = command("eef-run", "own.yaml", "--out", "here", "--seed", "1", "--dry-run")
    assert (done.code, done.error.code) == (1, "other-configuration")
    (folder / "full").mkdir()
    (folder / "full/mine.txt").write_text("mine")
    done = command("eef-run", "own.yaml", "--out", "full", "--dry-run")
    assert (done.code, done.error.code) == (2, "not-a-run")
    assert command("eef-run", "own.yaml", "--out", "here", "--dry-run").code == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in (folder / "here").rglob("*")) == before


def test_options_are_short_for_settings_and_set_goes_on_from_there(command):
    done = command("eef-run", "own.yaml", "--dry-run", "--env", "blocking-corridor", "-s", "environment.rooms=9")
    assert "name: blocking-corridor\n  rooms: 9" in done.out


def test_the_plugins_option_is_part_of_the_configuration(command):
    done = command("eef-run", "own.yaml", "--dry-run", "--plugins", "eef_framework.testing.plugin")
    assert "plugins:\n- eef_framework.testing.plugin" in done.out


def test_a_configuration_may_limit_the_plugins_itself(command, folder, monkeypatch):
    monkeypatch.delenv("EEF_PLUGINS")
    (folder / "limited.yaml").write_text("extends: ./own.yaml\nplugins: [eef_framework.testing.plugin]\n")
    assert command("eef-run", "limited.yaml", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "details"),
    [
        (["dmeo"], "unknown-name", {"given": "dmeo"}),
        (["nowhere.yaml"], "no-such-recipe", {"path": "nowhere.yaml"}),
        (["own.yaml", "--plugins", "webshpo"], "unknown-name", {"given": "webshpo"}),
        (["own.yaml", "--env", "corridro"], "unknown-name", {"given": "corridro"}),
        (["own.yaml", "--set", "explor.simulations=1"], "wrong-settings", {"settings": ["explor"]}),
        (["own.yaml", "--set", "clone.trainer.epcohs=1"], "wrong-settings", {"settings": ["epcohs"]}),
        (["own.yaml", "--set", "seed"], "no-value", {"given": "seed"}),
        (["own.yaml", "--set", "success.threshold=.nan"], "wrong-settings", {"settings": ["success.threshold"]}),
        (["own.yaml", "--set", "success.threshold=.inf"], "wrong-settings", {"settings": ["success.threshold"]}),
        (["own.yaml", "--set", "collect.trajectories=''"], "wrong-settings", {"settings": ["collect.trajectories"]}),
    ],
)
def test_whatever_is_misspelt_exits_with_2_before_anything_starts(command, folder, arguments, code, details):
    done = command("eef-run", *arguments)
    assert (done.code, done.error.code) == (2, code)
    assert details.items() <= done.error.details.items()
    assert "Traceback" not in done.err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("arguments", [("--sed", "1"), ("--seed", "one")])
def test_a_wrong_option_exits_with_2(command, folder, arguments):
    done = command("eef-run", "own.yaml", *arguments)
    assert (done.code, done.errors) == (2, [])
    assert arguments[0] in done.err
    assert not (folder / "runs").exists()


def test_help_names_every_option(command):
    done = command("eef-run", "--help")
    assert done.code == 0
    for option in ("--plugins", "--env", "--set", "--seed", "--out", "--dry-run"):
        assert option in done.out


def test_a_configuration_is_read_once_so_that_a_pipe_will_do(command, folder):
    os.mkfifo(folder / "pipe.yaml")
    writing = threading.Thread(target=(folder / "pipe.yaml").write_text, args=((folder / "own.yaml").read_text(),))
    writing.start()
    done = command("eef-run", "pipe.yaml", "--dry-run")
    writing.join()
    assert done.code == 0, done.err


def digests(folder):
    """Return stage -> digests of its rows."""
    found = {}
    for path in sorted(folder.rglob("stage.json")):
        manifest = json.loads(path.read_text())
        found[manifest["stage"]] = manifest["digests"]
    return found


def test_a_run_directory_is_resumed_with_its_own_settings(command, folder, monkeypatch):
    assert command("eef-run", "own.yaml", "--out", "here", "--seed", "3").code == 0
    (folder / "own.yaml").unlink()
    complete = digests(folder / "here")
    for stage in ("methods/eef/1/tune", "methods/eef/1/evaluate"):
        (folder / "here" / stage / "stage.json").unlink()
    monkeypatch.setenv("EEF__SEED", "4")
    done = command("eef-run", "here")
    assert done.code == 0, done.err
    assert digests(folder / "here") == complete
    assert yaml.safe_load((folder / "here/config.yaml").read_text())["seed"] == 3


def test_a_finished_run_continues_with_more_iterations_as_one_that_had_them_from_the_start(command, folder):
    assert command("eef-run", "own.yaml", "--out", "longer").code == 0
    assert command("eef-run", "longer", "--iterations", "2").code == 0
    assert command("eef-run", "own.yaml", "--out", "direct", "--iterations", "2").code == 0
    assert digests(folder / "longer") == digests(folder / "direct")
    assert "methods/eef/2/evaluate" in digests(folder / "longer")
    assert "eef 2" in (folder / "longer/metrics.json").read_text()
    done = command("eef-run", "longer", "--iterations", "1")
    assert (done.code, done.error.code) == (1, "other-configuration")
    assert command("eef-run", "longer").code == 0
    assert yaml.safe_load((folder / "longer/config.yaml").read_text())["iterations"] == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["empty"], "not-a-run"),
        (["here", "--out", "there"], "run-exists"),
        (["here", "--seeds", "2"], "run-exists"),
        (["here", "--seed", "1"], "other-configuration"),
    ],
)
def test_a_folder_in_place_of_a_recipe_has_to_be_a_run_and_stays_the_same_one(command, folder, arguments, code):
    (folder / "empty").mkdir()
    assert command("eef-run", "own.yaml", "--out", "here").code == 0
    done = command("eef-run", *arguments)
    assert done.code in (1, 2)
    assert done.error.code == code
    assert not (folder / "there").exists()
    assert command("eef-run", "here", "--out", "./here", "--dry-run").code == 0


def test_a_recipe_is_meant_where_a_folder_has_its_name(command, folder):
    (folder / "sft").mkdir()
    settings = ("--env", "corridor", "--set", "expert=corridor-expert", "--set", "policy=lookup")
    given = (*settings, "--set", "clone.trainer=lookup", "--set", "format.history=1")
    done = command("eef-run", "sft", *given, "--out", "here", "--dry-run")
    assert done.code == 0, done.err
    done = command("eef-run", "./sft", "--dry-run")
    assert (done.code, done.error.code) == (2, "not-a-run")


@pytest.mark.parametrize(
    ("arguments", "setting", "values"),
    [
        (["--iterations", "2", "--set", "iterations=1"], "iterations", [2, 1]),
        (["--set", "iterations=1", "--iterations", "2"], "iterations", [2, 1]),
        (["--seed", "5", "--set", "seed=7"], "seed", [5, 7]),
        (["--env", "corridor", "--set", "environment=sums"], "environment", ["corridor", "sums"]),
        (["--env", "corridor", "--set", "environment.name=sums"], "environment", ["corridor", "sums"]),
    ],
)
def test_an_option_and_another_value_of_its_setting_are_refused(command, arguments, setting, values):
    done = command("eef-run", "own.yaml", *arguments, "--dry-run")
    assert (done.code, done.error.code) == (2, "two-values")
    assert done.error.details == {"setting": setting, "values": values}


def test_an_option_and_the_same_value_or_other_settings_go_together(command):
    given = ("--seed", "5", "--set", "seed=5", "--env", "corridor", "--set", "environment.rooms=4")
    done = command("eef-run", "own.yaml", *given, "--set", "iterations=2", "--set", "iterations=1", "--dry-run")
    assert done.code == 0, done.err
    shown = yaml.safe_load(done.out)
    assert (shown["seed"], shown["environment"]["rooms"], shown["iterations"]) == (5, 4, 1)


@pytest.mark.parametrize("option", ["--jobs", "--per-seed"])
def test_options_for_several_seeds_are_refused_without_them(command, option):
    done = command("eef-run", "own.yaml", option, "2", "--dry-run")
    assert (done.code, done.error.code, done.error.details) == (2, "needs-seeds", {"option": option})
