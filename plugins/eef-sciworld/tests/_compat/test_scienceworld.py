"""Each test names a part of ScienceWorld. If it fails, adapt `eef_sciworld/_compat/scienceworld.py`."""

import json
import zipfile

import pytest
from eef_sciworld._compat import scienceworld
from eef_sciworld.protocol import VARIATIONS

METHODS = (
    *("load", "step", "getScore", "getCompleted", "getTaskDescription", "getTaskMaxVariations", "getTaskNames"),
    *("freeActionLook", "freeActionInventory", "getGoldActionSequence", "getObjectTree"),
    *("getValidActionObjectCombinations", "getValidActionObjectCombinationsJSON"),
)


@pytest.fixture(scope="module")
def jar():
    with zipfile.ZipFile(scienceworld.simulator_jar()) as jar:
        yield jar


@pytest.mark.parametrize("method", METHODS)
def test_interface_has_the_method(jar, method):
    names = jar.read(f"{scienceworld.INTERFACE.replace('.', '/')}.class")
    # A class file stores a name as its length in two bytes and its text.
    assert len(method).to_bytes(2, "big") + method.encode() in names


@pytest.mark.parametrize("prefix", [*scienceworld.SHARED, scienceworld.NOT_SHARED])
def test_jar_contains_the_package_that_simulators_share_or_do_not(jar, prefix):
    assert any(name.startswith(prefix) for name in jar.namelist())


@pytest.mark.parametrize("answer", scienceworld.NOT_UNDERSTOOD)
def test_answers_this_to_actions_that_it_does_not_understand(jar, answer):
    assert any(answer.encode() in jar.read(name) for name in jar.namelist() if name.startswith("scienceworld/"))


def test_knows_former_names_of_tasks():
    assert scienceworld.current_task_name("task-3-find-plant") == "find-plant"
    assert {scienceworld.current_task_name(name) for name in VARIATIONS} == set(VARIATIONS)


def test_has_the_task_types_of_the_protocols():
    package = scienceworld.simulator_jar().parent
    assert {task["task_name"] for task in json.loads((package / "tasks.json").read_text())} == set(VARIATIONS)
