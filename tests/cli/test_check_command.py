import json

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
        ["lookup", "--kind", "trainer"],
        ["deduplicate"],
        ["corridor", "--tasks", "2", "--cycles", "20", "--split", "test", "--set", "environment.rooms=5"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_there_is_a_check_for_every_kind(command, arguments):
    done = command("eef", "check", *arguments)
    assert done.code == 0, done.err
    assert done.out.rstrip().endswith(("keeps its contract", "'corridor')", "'lookup')"))


@pytest.mark.slow
def test_several_parts_are_checked_one_after_the_other(command, folder):
    (folder / "forgetful_idea.py").write_text(WRONG)
    parts = ["corridor", "forgetful_idea:Forgetful", "cap-per-task"]
    settings = ["-s", "corridor.rooms=5", "--set", "cap-per-task.trajectories=1", "--cycles", "10"]
    settings += ["--set", "forgetful_idea:Forgetful.size=2"]
    done = command("eef", "check", *parts, *settings)
    assert done.code == 1
    assert done.out == "environment 'corridor' keeps its contract\nfilter 'cap-per-task' keeps its contract\n"
    assert done.error.code == "nonconformance"
    assert "'forgetful_idea:Forgetful'" in done.err


def test_a_setting_in_a_section_is_reached(command):
    done = command("eef", "check", "corridor", "-s", "rooms.of.the.house=5")
    assert done.code == 2
    assert "'rooms'" in done.error.message


def test_a_part_that_breaks_its_contract_is_reported_with_how_to_fix_it(command, folder):
    (folder / "forgetful_idea.py").write_text(WRONG)
    done = command("eef", "check", "forgetful_idea:Forgetful", "--set", "size=2")
    assert done.code == 1
    assert [violation.code for violation in done.error.violations] == ["results-are-segments"]
    assert all(violation.fix in done.err for violation in done.error.violations)


@pytest.mark.parametrize(
    ("arguments", "code", "details"),
    [
        (["coridor"], "unknown-name", {"given": "coridor"}),
        (["lookup"], "ambiguous-name", {"kinds": ["policy", "trainer"]}),
        (
            ["corridor-expert"],
            "expert-without-environment",
            {"expert": "corridor-expert", "environments": ["corridor", "blocking-corridor"]},
        ),
        (["lookup", "--kind", "policy", "--tasks", "2"], "unused-option", {"option": "tasks"}),
        (["lookup", "--kind", "policy", "--env", "corridor"], "unused-option", {"option": "env"}),
        (["corridor", "--policy", "lookup"], "unused-option", {"option": "policy"}),
        (["lookup", "--kind", "trainer", "--policy", "scripted"], "policy-without-weights", {"policy": "scripted"}),
        (["corridor", "corridor-expert", "--set", "rooms=5"], "ambiguous-setting", {}),
        (["deduplicate", "--set", "environment.rooms=5"], "unused-setting", {"component": "environment"}),
        (["corridor", "--split", "tset"], "no-such-split", {"split": "tset"}),
        (["sciworld"], "unknown-name", {"given": "sciworld"}),
        (["nothing_here:Class"], "no-such-module", {}),
        (["json:dumps"], "plugin", {}),
        (["corridor", "--set", "rooms"], "no-value", {"given": "rooms"}),
        (["corridor", "--set", "romos=3"], "wrong-settings", {"settings": ["romos"]}),
    ],
)
def test_what_cannot_be_checked_is_explained(command, arguments, code, details):
    done = command("eef", "check", *arguments)
    assert done.code in (1, 2)
    assert done.error.code == code
    assert details.items() <= done.error.details.items()


def test_a_name_of_another_kind_is_answered_with_its_kind_and_not_with_itself(command):
    done = command("eef", "check", "deduplicate", "--kind", "attributor")
    assert (done.code, done.error.code, done.error.details["what"]) == (2, "unknown-name", "attributor")
    assert "deduplicate" not in done.error.details["known"]
    assert "filter" in done.error.fix


def test_a_module_in_place_of_a_class_is_answered_with_its_classes(command, folder):
    (folder / "forgetful_idea.py").write_text(WRONG)
    done = command("eef", "check", "forgetful_idea.py")
    assert (done.code, done.error.code, done.error.details["classes"]) == (2, "class-missing", ["Forgetful"])
    assert "eef check forgetful_idea:Forgetful" in done.error.fix
    assert command("eef", "check", folder / "forgetful_idea.py").error.fix == done.error.fix


def test_a_misspelt_class_is_answered_with_the_classes_of_its_file(command, folder):
    (folder / "misspelt_idea.py").write_text(WRONG)
    done = command("eef", "check", "misspelt_idea:Attributer")
    assert (done.error.code, done.error.details["known"]) == ("unknown-name", ("Forgetful",))


def test_a_trainer_that_fails_with_the_default_policy_is_told_of_the_option(command, folder):
    (folder / "lazy_idea.py").write_text(
        "from eef_framework import Trainer\n"
        "class Lazy(Trainer):\n"
        "    def train(self, examples, start, output, seed, progress): pass\n"
    )
    done = command("eef", "check", "lazy_idea:Lazy", "--set", "policy.tiny.hidden=32", "--set", "policy.tiny.layers=1")
    assert (done.code, done.error.code) == (1, "nonconformance")
    assert "--policy" in done.error.fix
    assert "%|" not in done.err


def test_the_distribution_of_a_missing_component_is_named(command):
    assert "eef-sciworld" in command("eef", "check", "sciworld").error.fix


def test_a_file_of_records_is_checked_row_by_row(command, folder):
    assert command("eef", "collect", "own.yaml", "--out", "trajectories.jsonl").code == 0
    assert command("eef", "check", "trajectories.jsonl").out.startswith("trajectories.jsonl: 8 trajectories")
    with (folder / "trajectories.jsonl").open("a") as file:
        file.write("{}\n")
    done = command("eef", "check", "trajectories.jsonl")
    assert (done.code, done.error.code, done.error.details["line"]) == (1, "corrupt-row", 9)
    assert "eef repair" in done.error.fix


def test_two_trajectories_of_one_id_are_told(command, folder):
    assert command("eef", "collect", "own.yaml", "--out", "once.jsonl").code == 0
    (folder / "twice.jsonl").write_bytes((folder / "once.jsonl").read_bytes() * 2)
    done = command("eef", "check", "twice.jsonl")
    assert (done.code, done.error.code) == (1, "duplicate-id")
    assert (done.error.details["line"], done.error.details["first_line"]) == (9, 1)


def test_a_file_is_checked_by_its_content_and_not_by_its_name(command, folder):
    assert command("eef", "collect", "own.yaml", "--out", "examples.data").code == 0
    assert command("eef", "check", "examples.data").out.startswith("examples.data: 8 trajectories")
    (folder / "trajectories.jsonl").write_text('{"mine": 1}\n')
    done = command("eef", "check", "trajectories.jsonl")
    assert (done.code, done.error.code) == (1, "foreign-file")
    assert "'mine'" in done.error.message
    assert "eef repair" not in done.error.fix


ASKED = [{"role": "user", "content": "hi"}]
ANSWERED = [{"role": "assistant", "content": "hello"}]


@pytest.mark.parametrize(
    "row", [{"messages": ASKED + ANSWERED}, {"prompt": ASKED, "chosen": ANSWERED, "rejected": ANSWERED}]
)
def test_rows_of_other_libraries_are_to_be_converted(command, folder, row):
    (folder / "theirs.jsonl").write_text(json.dumps(row) + "\n")
    for name in ("check", "repair"):
        done = command("eef", name, "theirs.jsonl")
        assert (done.code, done.error.code) == (1, "foreign-file")
        assert "eef convert FILE NEW.jsonl --to examples" in done.error.fix
    assert command("eef", "convert", "theirs.jsonl", "new.jsonl", "--to", "examples").code == 0
    assert command("eef", "check", "new.jsonl").code == 0


OWN = """
from eef_framework import ScriptedExpert
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer

class Strayer(ScriptedExpert):
    continues = False

    def script(self, session, draw):
        while True:
            yield draw.choice(session.observation.actions)

class Habits(LookupPolicy):
    pass

class Habitual(LookupTrainer):
    policies = {policies}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "own", "environment"),
    [
        ("imported_home", "", "corridor"),
        ("own_home", "class Home(Corridor):\n    name = 'home'\n", "home"),
    ],
)
def test_an_expert_is_checked_in_the_only_environment_beside_it(command, folder, module, own, environment):
    (folder / f"{module}.py").write_text(OWN.format(policies="()") + own)
    done = command("eef", "check", f"{module}:Strayer", "--tasks", "2")
    assert done.code == 0, done.err
    assert f"(environment {environment!r})" in done.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "policies", "policy"),
    [("a_named_policy", "(LookupPolicy,)", "lookup"), ("a_policy_beside", "()", "a_policy_beside:Habits")],
)
def test_a_trainer_is_checked_with_the_policy_that_it_names_or_the_only_one_beside_it(
    command, folder, module, policies, policy
):
    name = "    name = ''\n"
    (folder / f"{module}.py").write_text(OWN.format(policies=policies).replace("    pass\n", name))
    done = command("eef", "check", f"{module}:Habitual")
    assert done.code == 0, done.err
    assert f"(policy {policy!r})" in done.out
