import json
from pathlib import Path

import pytest
from eef_sciworld.environment import SciWorld
from eef_sciworld.protocol import SPLITS, VARIATIONS, step_limit, task_name, variations
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eef_framework.errors import EnvironmentFailure, UnknownName

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "sciworld"
KINDS = st.sampled_from(sorted(VARIATIONS))
PROTOCOLS = st.sampled_from(["package", "eto"])


@given(KINDS, PROTOCOLS)
def test_no_variation_is_in_two_splits(kind, protocol):
    lists = [variations(protocol, split, kind) for split in SPLITS]
    assert sum(map(len, lists)) == len(set().union(*lists))
    assert set().union(*lists) <= set(range(VARIATIONS[kind]))


@given(KINDS)
def test_the_package_protocol_uses_every_variation_and_eto_a_part_of_each_split(kind):
    package = [variations("package", split, kind) for split in SPLITS]
    assert sum(map(len, package)) == VARIATIONS[kind]
    assert set(variations("eto", "test", kind)) <= set(package[2])


def test_the_published_lists_have_their_published_lengths_but_for_dev_tasks_among_the_train_tasks():
    lengths = [sum(len(variations("eto", split, kind)) for kind in VARIATIONS) for split in SPLITS]
    assert lengths == [1483 - 54, 194, 211]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the published lists are not in {SHARED}")
@pytest.mark.parametrize("split", SPLITS)
def test_the_published_lists_are_reproduced(split):
    read = {
        name: {(task_name(task), number) for task, number in json.loads((SHARED / f"{name}_indices.json").read_text())}
        for name in SPLITS
    }
    expected = read[split] - (read["dev"] if split == "train" else set())
    assert {(kind, number) for kind in VARIATIONS for number in variations("eto", split, kind)} == expected


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the published limits are not in {SHARED}")
def test_the_published_step_limits_are_reproduced():
    for name, limit in json.loads((SHARED / "max_steps.json").read_text()).items():
        assert step_limit("eto", task_name(name)) == limit
        assert step_limit("package", task_name(name)) == 100


def test_numbered_names_and_old_spellings_are_known():
    assert task_name("task-3-find-plant") == "find-plant"
    assert task_name("task-9-mendellian-genetics-(known-plant)") == "mendelian-genetics-known-plant"
    assert task_name("4-3") == "find-plant"


def test_a_misspelt_task_type_gets_a_suggestion():
    with pytest.raises(UnknownName) as caught:
        task_name("find-plants")
    assert "find-plant" in caught.value.details["known"]
    with pytest.raises(ValidationError, match="did you mean 'find-plant'"):
        SciWorld(types=("find-plants",))


def test_tasks_contain_the_rules_that_they_were_made_with():
    task = next(task for task in SciWorld(protocol="eto", score="last").tasks("test") if task.kind == "find-plant")
    assert task.info == {
        "task": "find-plant",
        "variation": int(task.id.rsplit("-", 1)[1]),
        "simplification": "easy",
        "scienceworld": "1.2.3",
        "score": "last",
        "max_steps": 15,
    }


@pytest.mark.parametrize(
    "other", [{"simplification": ""}, {"score": "last"}, {"protocol": "eto"}, {"max_steps": 5}], ids=str
)
def test_a_task_of_other_settings_is_refused_before_anything_starts(other):
    task = next(task for task in SciWorld(**other).tasks("test") if task.kind == "boil")
    with pytest.raises(EnvironmentFailure) as caught:
        SciWorld(max_steps=60).open(task)
    assert (caught.value.code, caught.value.details["task"]) == ("foreign-task", task.id)


@pytest.mark.slow
def test_the_first_tasks_of_a_split_are_of_many_types():
    assert len({task.kind for task in SciWorld().tasks("train")[:60]}) > 8
    assert {task.kind for task in SciWorld(types=("melt",)).tasks("train")} == {"melt"}
