import pytest

WRONG = """
from eef_framework import Attributor, Segment, Verdict

class Forgetful(Attributor):
    size: int = 3

    async def attribute(self, trajectory, simulate):
        return [Segment(start=0, end=self.size, verdict=Verdict.NEUTRAL)]
"""


@pytest.mark.slow
@pytest.mark.parametrize("part", ["corridor", "eef_framework.testing.corridor:Corridor"])
def test_a_part_that_keeps_its_contract_passes(command, part):
    done = command("eef", "check", part, "-s", "rooms=5")
    assert done.code == 0, done.err
    assert done.out == f"environment '{part}' keeps its contract\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["corridor-expert", "--env", "corridor", "-s", "environment.rooms=7", "-s", "skill=0.5", "--tasks", "3"],
        ["lookup", "--kind", "policy"],
        ["lookup", "--kind", "trainer", "--policy", "lookup"],
        ["deduplicate"],
        ["corridor", "--tasks", "2", "--cycles", "20", "--split", "test", "--set", "environment.rooms=5"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_there_is_a_check_for_every_kind(command, arguments):
    done = command("eef", "check", *arguments)
    assert done.code == 0, done.err
    assert done.out.endswith("keeps its contract\n")


@pytest.mark.slow
def test_several_parts_are_checked_one_after_the_other(command, folder):
    (folder / "forgetful_idea.py").write_text(WRONG)
    parts = ["corridor", "forgetful_idea:Forgetful", "cap-per-task"]
    settings = ["-s", "corridor.rooms=5", "--set", "cap-per-task.trajectories=1", "--cycles", "10"]
    done = command("eef", "check", *parts, *settings)
    assert done.code == 1
    assert done.out == "environment 'corridor' keeps its contract\nfilter 'cap-per-task' keeps its contract\n"
    assert "attributor 'forgetful_idea:Forgetful' breaks" in done.err


def test_a_setting_in_a_section_is_reached(command):
    done = command("eef", "check", "corridor", "-s", "rooms.of.the.house=5")
    assert done.code == 2
    assert "'rooms'" in done.err


def test_a_part_that_breaks_its_contract_is_reported_with_how_to_fix_it(command, folder):
    (folder / "forgetful_idea.py").write_text(WRONG)
    done = command("eef", "check", "forgetful_idea:Forgetful", "--set", "size=2")
    assert done.code == 1
    assert "expected:" in done.err
    assert "fix:" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["coridor"], "did you mean 'corridor'"),
        (["lookup"], "the name of several parts: policy, trainer"),
        (["corridor-expert"], "expert 'corridor-expert' needs an environment to demonstrate in"),
        (["lookup", "--kind", "policy", "--tasks", "2"], "the check of 'lookup' (policy) takes no --tasks"),
        (["corridor", "corridor-expert", "--set", "rooms=5"], "of which part?"),
        (["deduplicate", "--set", "environment.rooms=5"], "nothing that was checked needs 'environment'"),
        (["corridor", "--split", "tset"], "corridor has no split 'tset'"),
        (["sciworld"], "comes with eef-sciworld"),
        (["nothing_here:Class"], "[no-such-module]"),
        (["json:dumps"], "isn't a component"),
        (["corridor", "--set", "rooms"], "has no `=`"),
        (["corridor", "--set", "romos=3"], "did you mean 'rooms'?"),
    ],
)
def test_what_cannot_be_checked_is_explained(command, arguments, words):
    done = command("eef", "check", *arguments)
    assert done.code in (1, 2)
    assert words in done.err


def test_a_file_of_records_is_checked_row_by_row(command, folder):
    assert command("eef", "collect", "own.yaml", "--out", "trajectories.jsonl").code == 0
    assert command("eef", "check", "trajectories.jsonl").out == "trajectories.jsonl: 8 trajectories in order\n"
    with (folder / "trajectories.jsonl").open("a") as file:
        file.write("{}\n")
    done = command("eef", "check", "trajectories.jsonl")
    assert done.code == 1
    assert "error [corrupt-row]" in done.err
    assert "line 9" in done.err
    assert "eef repair" in done.err


def test_a_file_is_checked_by_its_content_and_not_by_its_name(command, folder):
    assert command("eef", "collect", "own.yaml", "--out", "examples.data").code == 0
    assert command("eef", "check", "examples.data").out == "examples.data: 8 trajectories in order\n"
    (folder / "trajectories.jsonl").write_text('{"mine": 1}\n')
    done = command("eef", "check", "trajectories.jsonl")
    assert done.code == 1
    assert "error [foreign-file]" in done.err
    assert "'mine'" in done.err
    assert "eef repair" not in done.err
