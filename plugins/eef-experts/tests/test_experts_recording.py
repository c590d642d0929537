"""Demonstrations from a file."""

import asyncio
from pathlib import Path

import pytest
from eef_experts.chat_completions import OpenAIExpert
from eef_experts.recording import RecordingExpert

from eef_framework.errors import ConfigError, CorruptFile, EefWarning, ExpertFailure, StorageError
from eef_framework.records import Origin
from eef_framework.rollout import demonstrations as stamped
from eef_framework.runs import write_rows
from eef_framework.testing.corridor import BlockingCorridor, Corridor
from eef_framework.testing.corridor_expert import CorridorExpert

CORRIDOR = Corridor()
TASKS = CORRIDOR.tasks("train")[:5]


@pytest.mark.parametrize(
    ("expert", "settings"),
    [(RecordingExpert, {"file": "x.jsonl", "at_once": 3}), (OpenAIExpert, {"model": "x", "episodes": 3})],
)
def test_the_old_name_of_a_setting_is_read_with_a_warning(expert, settings):
    with pytest.warns(EefWarning) as caught:
        assert expert.model_validate(settings).concurrency == 3
    assert caught.pop(EefWarning).message.code == "renamed"


def demonstrations(expert, environment=CORRIDOR, tasks=TASKS):
    async def gather():
        return [trajectory async for trajectory in stamped(expert, environment, tasks, 7)]

    return {trajectory.task.id: trajectory for trajectory in asyncio.run(gather())}


@pytest.fixture
def recorded():
    """What the corridor-expert did."""
    return demonstrations(CorridorExpert())


@pytest.fixture
def record(tmp_path):
    """Write a file of trajectories and return its path."""

    def record(trajectories):
        write_rows(tmp_path / "recorded.jsonl", list(trajectories))
        return str(tmp_path / "recorded.jsonl")

    return record


@pytest.mark.parametrize("replay", [False, True])
def test_it_demonstrates_what_was_recorded(recorded, record, replay):
    found = demonstrations(RecordingExpert(file=record(recorded.values()), replay=replay))
    for id, trajectory in recorded.items():
        assert found[id].model_dump(exclude={"id", "actor", "info"}) == trajectory.model_dump(
            exclude={"id", "actor", "info"}
        )
        assert (found[id].id, found[id].actor) == (f"expert/recording/{id}", "expert/recording")
        assert found[id].info == {"recording": trajectory.id, "actor": "expert/corridor-expert"}


def test_a_file_may_hold_more_than_is_asked_for_and_the_last_recording_of_a_task_counts(recorded, record):
    better = demonstrations(CorridorExpert(skill=1.0))
    failed = [trajectory.changed(ending="error", error="lost") for trajectory in better.values()]
    found = demonstrations(
        RecordingExpert(file=record([*recorded.values(), *better.values(), *failed])), tasks=TASKS[:2]
    )
    assert {id: trajectory.actions for id, trajectory in found.items()} == {
        task.id: better[task.id].actions for task in TASKS[:2]
    }


def test_an_episode_of_the_agent_becomes_a_demonstration(recorded, record):
    simulation = recorded[TASKS[0].id].changed(actor="agent/eef/1", origin=Origin(trajectory="x", state=1))
    found = demonstrations(RecordingExpert(file=record([simulation])), tasks=TASKS[:1])
    assert (found[TASKS[0].id].origin, found[TASKS[0].id].actor) == (None, "expert/recording")


def test_tasks_that_were_not_recorded_are_an_error(recorded, record):
    file = record([recorded[TASKS[0].id], recorded[TASKS[1].id].changed(ending="error", error="lost")])
    with pytest.raises(ExpertFailure) as caught:
        demonstrations(RecordingExpert(file=file))
    assert caught.value.code == "tasks-missing"
    assert caught.value.details["missing"] == [task.id for task in TASKS[1:5]]


def test_tasks_that_mean_something_else_are_an_error(recorded, record):
    other = Corridor(rooms=7)
    with pytest.raises(ExpertFailure) as caught:
        demonstrations(RecordingExpert(file=record(recorded.values())), other, other.tasks("train")[:5])
    assert caught.value.code == "other-world"


def test_a_file_that_is_not_a_recording_is_an_error(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(CorruptFile) as caught:
        demonstrations(RecordingExpert(file=tmp_path / "x.jsonl"))
    assert caught.value.code == "foreign-file"
    with pytest.raises(StorageError) as caught:
        demonstrations(RecordingExpert(file=tmp_path / "y.jsonl"))
    assert caught.value.code == "no-such-file"


def test_a_recording_that_is_not_there_is_found_before_a_run(tmp_path):
    with pytest.raises(ConfigError) as caught:
        RecordingExpert(file=tmp_path / "y.jsonl").preflight()
    assert (caught.value.code, caught.value.details["path"]) == ("no-such-file", str(tmp_path / "y.jsonl"))
    (tmp_path / "y.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(CorruptFile) as caught:
        RecordingExpert(file=tmp_path / "y.jsonl").preflight()
    assert caught.value.code == "foreign-file"


def test_a_recording_in_the_home_directory_is_found(recorded, record, monkeypatch):
    file = record(recorded.values())
    monkeypatch.setenv("HOME", str(Path(file).parent))
    for written in (f"~/{Path(file).name}", f"$HOME/{Path(file).name}"):
        expert = RecordingExpert(file=written)
        assert expert.file == Path(file)
        assert len(demonstrations(expert)) == 5


@pytest.mark.parametrize("environment", [CORRIDOR, BlockingCorridor()])
def test_a_recording_that_an_environment_contradicts_is_an_error(recorded, record, environment):
    tasks = environment.tasks("train")[:5]
    ours = [recorded[task.id].changed(task=task) for task in tasks]
    first, second = ours[0], ours[1]
    misseen = first.steps[0].observation.changed(text="a dragon")
    ours[0] = first.changed(steps=(first.steps[0].changed(observation=misseen), *first.steps[1:]))
    ours[1] = second.changed(reward=0.75, ending="terminated")
    found = demonstrations(RecordingExpert(file=record(ours), replay=True), environment, tasks)
    assert [found[task.id].ending == "error" for task in tasks] == [True, True, False, False, False]
    assert "diverged in state 1" in found[tasks[0].id].error
    assert "the recording 0.75" in found[tasks[1].id].error


def test_rewards_of_episodes_that_others_ended_are_not_compared(recorded, record):
    cut = [t.changed(steps=t.steps[:1], reward=0.0, ending="step-limit") for t in recorded.values()]
    found = demonstrations(RecordingExpert(file=record(cut), replay=True))
    assert {trajectory.ending for trajectory in found.values()} == {"step-limit"}
