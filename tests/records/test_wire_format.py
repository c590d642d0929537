"""Every record survives the way to disk and back, and rows of a newer format are refused."""

import json
import math

import pytest
from hypothesis import given
from pydantic import ValidationError

from eef_framework.records import (
    SCHEMA_VERSION,
    Attribution,
    Example,
    Message,
    Observation,
    Record,
    Step,
    Task,
    Trajectory,
)
from eef_framework.testing.strategies import attributions, examples, tasks, trajectories

TASK = Task(id="t", environment="corridor")
ROOM = Observation(text="a room")
ROWS = [
    Trajectory(id="x", task=TASK, actor="agent", initial=ROOM),
    Attribution(trajectory="x", length=0),
    Example(id="x", messages=(Message(role="user", content="a room"), Message(role="assistant", content="go"))),
]


def survives(record: Record) -> bool:
    line = record.model_dump_json()
    assert "\n" not in line  # a row is one line of a file
    return type(record).model_validate_json(line) == record


@given(tasks())
def test_tasks_survive_the_round_trip(task):
    assert survives(task)


@given(trajectories())
def test_trajectories_survive_the_round_trip(trajectory):
    assert survives(trajectory)


@given(attributions())
def test_attributions_survive_the_round_trip(attribution):
    assert survives(attribution)


@given(examples())
def test_examples_survive_the_round_trip(example):
    assert survives(example)


@pytest.mark.parametrize("reward", [math.inf, -math.inf, math.nan])
def test_a_reward_of_a_step_that_is_not_a_number_is_kept_as_it_is(reward):
    line = Step(action="a", observation=ROOM, reward=reward).model_dump_json()
    assert str(Step.model_validate_json(line).reward) == str(reward)


@pytest.mark.parametrize("reward", [math.inf, -math.inf, math.nan, 1e308])
def test_an_episode_with_a_reward_that_cannot_be_averaged_is_refused(reward):
    row = Trajectory(task=Task(id="t", environment="e"), initial=ROOM).changed(reward=reward)
    with pytest.raises(ValidationError) as caught:
        Trajectory.model_validate_json(row.model_dump_json())
    assert [error["loc"] for error in caught.value.errors()] == [("reward",)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_row_of_a_newer_format_is_refused_with_the_way_out(row):
    data = json.loads(row.model_dump_json())
    assert data["version"] == SCHEMA_VERSION
    data["version"] = SCHEMA_VERSION + 1
    with pytest.raises(ValidationError) as caught:
        type(row).model_validate(data)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("value_error", ("version",))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_row_without_a_version_is_read_as_the_present_one(row):
    data = json.loads(row.model_dump_json())
    del data["version"]
    assert type(row).model_validate(data) == row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_misspelt_field_is_refused(row):
    with pytest.raises(ValidationError) as caught:
        type(row).model_validate({**json.loads(row.model_dump_json()), "rewrad": 1.0})
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("extra_forbidden", ("rewrad",))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_records_never_change(row):
    with pytest.raises(ValidationError) as caught:
        row.info = {"a": 1}
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("frozen_instance", ("info",))]


def test_a_changed_record_is_another_one():
    before = Step(action="a", observation=ROOM)
    after = before.changed(reward=1.0)
    assert (before.reward, after.reward, after.action) == (0.0, 1.0, "a")
