import os

import pytest
from pydantic import ValidationError

from eef_framework.records import Attribution, Observation, Task, Trajectory


def test_tuples_become_lists_at_any_depth():
    task = Task(id="t", environment="e", info={"goal": (1, ("a", {"b": (2,)}))})
    assert task.info == {"goal": [1, ["a", {"b": [2]}]]}
    assert Task.model_validate_json(task.model_dump_json()) == task


def test_the_given_data_stay_as_they_are():
    given = {"path": ["a", {"b": 1}]}
    task = Task(id="t", environment="e", info=given)
    task.info["path"][1]["b"] = 2
    assert given == {"path": ["a", {"b": 1}]}


def test_lone_surrogates_are_replaced_since_no_file_can_hold_them():
    task = Task(id="t", environment="e", instruction="find \udcff", info={"\ud800": ["a\ud800", {"b": "\udfff"}]})
    assert task.instruction == "find \ufffd"
    assert task.info == {"\ufffd": ["a\ufffd", {"b": "\ufffd"}]}
    assert Task.model_validate_json(task.model_dump_json()) == task


def test_an_error_that_names_a_file_which_is_not_utf_8_can_be_written():
    error = f"can't read {os.fsdecode(b'caf' + bytes([0xE9]))}"
    lost = Trajectory(task=Task(id="t", environment="e"), initial=Observation(text=""), ending="error", error=error)
    unknown = Attribution(trajectory="t", length=1, method="m", error=error)
    assert Trajectory.model_validate_json(lost.model_dump_json()) == lost
    assert Attribution.model_validate_json(unknown.model_dump_json()) == unknown


@pytest.mark.parametrize("info", [{1: "a"}, {"a": {1, 2}}, {"a": object()}])
def test_what_json_can_not_represent_is_refused(info):
    with pytest.raises(ValidationError):
        Task(id="t", environment="e", info=info)
