import pytest
from pydantic import ValidationError

from eef_framework.records import Task


def test_tuples_become_lists_at_any_depth():
    task = Task(id="t", environment="e", info={"goal": (1, ("a", {"b": (2,)}))})
    assert task.info == {"goal": [1, ["a", {"b": [2]}]]}
    assert Task.model_validate_json(task.model_dump_json()) == task


def test_the_given_data_stay_as_they_are():
    given = {"path": ["a", {"b": 1}]}
    task = Task(id="t", environment="e", info=given)
    task.info["path"][1]["b"] = 2
    assert given == {"path": ["a", {"b": 1}]}


@pytest.mark.parametrize("info", [{1: "a"}, {"a": {1, 2}}, {"a": object()}])
def test_what_json_can_not_represent_is_refused(info):
    with pytest.raises(ValidationError):
        Task(id="t", environment="e", info=info)
