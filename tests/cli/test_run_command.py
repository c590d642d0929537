import json
import os
import threading

import pytest

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
    assert done.code == 1
    assert "seed: 0 -> 1" in done.err


def test_a_class_in_the_current_folder_attributes(command, folder):
    (folder / "idea_of_mine.py").write_text(ATTRIBUTOR)
    done = command("eef-run", "own.yaml", "--set", "attributor=idea_of_mine:Undecided")
    assert done.code == 0, done.err
    assert list(folder.glob("runs/own/methods/*/1/explore/attributions.jsonl"))


def test_a_dry_run_shows_configuration_and_plan_and_writes_nothing(command, folder):
    done = command("eef-run", "own.yaml", "--dry-run", "--set", "explore.simulations=3", "--seed", "5")
    assert done.code == 0, done.err
    assert "simulations: 3" in done.out
    assert "seed: 5" in done.out
    rows = {tuple(line.split()) for line in done.out.splitlines()}
    assert ("eef/1:", "explore", "24") in rows
    assert not (folder / "runs").exists()


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
    ("arguments", "words"),
    [
        (["dmeo"], "did you mean 'demo'?"),
        (["nowhere.yaml"], "there is no file 'nowhere.yaml'"),
        (["own.yaml", "--plugins", "webshpo"], "there is no plugin 'webshpo'"),
        (["own.yaml", "--env", "corridro"], "did you mean 'corridor'?"),
        (["own.yaml", "--set", "explor.simulations=1"], "did you mean 'explore' or 'expert'?"),
        (["own.yaml", "--set", "clone.trainer.epcohs=1"], "is unknown"),
        (["own.yaml", "--set", "seed"], "has no `=`"),
        (["own.yaml", "--sed", "1"], "No such option"),
        (["own.yaml", "--seed", "one"], "--seed"),
    ],
)
def test_whatever_is_misspelt_exits_with_2_before_anything_starts(command, folder, arguments, words):
    done = command("eef-run", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
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
