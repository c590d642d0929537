"""Imported episodes: matched to tasks, replayed, trained on, and explored from only if a replay has confirmed them."""

import json
import warnings

import pytest
from eef_attribution.interval import IntervalAttributor

from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError, EefWarning
from eef_framework.formats import explorable, is_imported, read_demonstrations, read_records, verified
from eef_framework.pipeline import RunContext, run
from eef_framework.pipeline.phases import ExplorationFiles, Explore
from eef_framework.pipeline.rows import Rows
from eef_framework.plugins import Registry
from eef_framework.records import Trajectory
from eef_framework.rollout import demonstrations
from eef_framework.runs import read_rows
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer

WORLD = Corridor()
TASKS = list(WORLD.tasks("train"))[:6]
KNOWN = {task.id: task for task in TASKS}


async def _played():
    return [each async for each in demonstrations(CorridorExpert(skill=0.6), WORLD, TASKS, 0)]


@pytest.fixture(scope="module")
def played():
    """Demonstrations of the corridor."""
    import asyncio

    return asyncio.run(_played())


def log_of(trajectory, task=None):
    """Return an episode as somebody else's log would have it: text with other spaces, and a label."""
    turns = [{"from": "human", "value": f"Observation:\n{trajectory.initial.text}"}]
    for step in trajectory.steps:
        turns += [
            {"from": "gpt", "value": f"Thought: on\nAction: {step.action}"},
            {"from": "human", "value": "  ".join(step.observation.text.split(" ")) + "\n"},
        ]
    return {"id": task or trajectory.task.id, "conversations": turns, "reward": trajectory.reward}


@pytest.fixture
def logs(tmp_path, played):
    """A file of such logs: four as they were, one with another observation, one of a task that doesn't exist."""
    rows = [log_of(each) for each in played]
    rows[4]["conversations"][2]["value"] = "somewhere else"
    rows[5]["id"] = "unheard-of"
    path = tmp_path / "logs.json"
    path.write_text(json.dumps(rows))
    return path


def test_a_replayed_episode_gets_the_environments_own_task_texts_and_rewards(played, logs):
    found = [verified(each, WORLD, KNOWN) for each in read_records(logs, Trajectory)]
    assert [is_imported(each) for each in found] == [False] * 4 + [True] * 2
    for own, imported in zip(played, found[:4], strict=False):
        assert imported.task == own.task
        assert imported.initial == own.initial
        assert [(s.action, s.observation, s.reward) for s in imported.steps] == [
            (s.action, s.observation, s.reward) for s in own.steps
        ]
        assert (imported.reward, imported.ending) == (own.reward, own.ending)
        assert imported.steps[0].response.thought == "on"
    assert [each.info["imported"]["unverified"] for each in found[4:]] == ["other-observation", "no-such-task"]
    assert found[4].info["imported"]["state"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reward": 0.123}, "other-reward"),
        (
            {"conversations": [{"from": "human", "value": "nowhere"}, {"from": "gpt", "value": "wait"}]},
            "other-observation",
        ),
    ],
)
def test_an_episode_that_differs_is_not_verified(tmp_path, played, change, reason):
    (tmp_path / "log.json").write_text(json.dumps([log_of(played[0]) | change]))
    (given,) = read_records(tmp_path / "log.json", Trajectory)
    assert verified(given, WORLD, KNOWN).info["imported"]["unverified"] == reason


def test_a_task_with_another_fingerprint_is_another_task(logs):
    given = read_records(logs, Trajectory)[0]
    other = given.changed(task=given.task.changed(fingerprint="another"))
    assert verified(other, WORLD, KNOWN).info["imported"]["unverified"] == "other-task"


def test_actions_after_the_end_are_not_verified(played, tmp_path):
    whole = next(each for each in played if each.steps[-1].done)
    row = log_of(whole)
    row["conversations"] += [{"from": "gpt", "value": "Action: east"}, {"from": "human", "value": "more"}]
    (tmp_path / "log.json").write_text(json.dumps([row]))
    (given,) = read_records(tmp_path / "log.json", Trajectory)
    assert verified(given, WORLD, KNOWN).info["imported"]["unverified"] == "ended-early"


def test_an_episode_that_the_environment_fails_on_does_not_stop_the_others(logs):
    world = Corridor(fault="raise", fault_step=2)
    found = [verified(each, world, KNOWN) for each in read_records(logs, Trajectory)]
    reasons = [each.info["imported"].get("unverified") for each in found]
    assert reasons[0] == "environment-failed"
    assert reasons[-1] == "no-such-task"


def test_our_own_trajectories_need_no_verification(tmp_path, played):
    path = tmp_path / "own.jsonl"
    Rows(path, Trajectory).write(played)
    assert read_demonstrations(path, TASKS, WORLD) == read_records(path, Trajectory)


def test_our_own_trajectories_joined_into_one_file_get_ids_of_their_own(tmp_path, played):
    path = tmp_path / "own.jsonl"
    Rows(path, Trajectory).write([*played, *played[:2]])
    with pytest.warns(EefWarning) as said:
        found = read_demonstrations(path, TASKS, WORLD)
    assert [(each.message.code, each.message.details["rows"]) for each in said] == [("duplicate-ids", 2)]
    assert [each.id for each in found[-2:]] == [f"{each.id}#2" for each in played[:2]]
    assert found[:-2] == played


def settings(logs, **changes):
    return {
        "environment": Corridor(),
        "policy": LookupPolicy(),
        "format": {"history": 1},
        "collect": {"tasks": {"split": "train", "count": 6}, "trajectories": str(logs)},
        "clone": {"trainer": LookupTrainer(), "on": "all"},
        "evaluate": {"tasks": {"split": "test", "count": 2}, "expert": False},
        "iterations": 1,
        **changes,
    }


def quietly(function, *arguments, **options):
    """Call a function, and return the codes of its warnings with their details."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        function(*arguments, **options)
    return {each.message.code: each.message.details for each in said if isinstance(each.message, EefWarning)}


def test_a_run_trains_on_all_and_explores_from_those_that_are_verified(tmp_path, logs):
    out = tmp_path / "run"
    said = quietly(run, settings(logs, attributor="interval", explore={"attribute": "all"}), out=out)
    assert said["unverified"]["verified"] == 4
    assert said["unverified"]["unverified"] == {"other-observation": 1, "no-such-task": 1}
    stored = list(read_rows(next(out.glob("collect/*.jsonl")), Trajectory))
    assert len(stored) == 6
    ids = {each.id for each in stored if is_imported(each)}
    simulations = [row for path in out.rglob("explore/*.jsonl") for row in _read(path)]
    origins = {row.origin.trajectory for row in simulations if row.origin}
    assert origins
    assert len(ids) == 2
    assert not origins & ids


def test_a_run_that_cannot_explore_from_any_of_them_stops_before_it_trains(tmp_path, logs):
    logs.write_text(json.dumps([{**row, "id": "unheard-of"} for row in json.loads(logs.read_text())]))
    with pytest.raises(ConfigError) as caught, pytest.warns(EefWarning) as said:
        run(RunConfig(**settings(logs)), Registry(), tmp_path / "run")
    assert "unverified" in [each.message.code for each in said]
    assert caught.value.code == "unverified-demonstrations"
    assert caught.value.details["path"] == str(logs)
    assert not (tmp_path / "run/clone").exists()


def _read(path):
    return read_rows(path, Trajectory) if "attribution" not in path.name else ()


def test_unverified_episodes_are_never_explored_from(tmp_path, logs):
    path = tmp_path / "imported.jsonl"
    Rows(path, Trajectory).write(read_records(logs, Trajectory))
    config = RunConfig(**settings(logs, attributor=IntervalAttributor(probes=2)))
    with RunContext(config, Registry()) as context:
        phase = Explore(
            variant=config, demonstrations=Rows(path, Trajectory), weights=None, files=ExplorationFiles(tmp_path / "x")
        )
        with pytest.raises(ConfigError) as caught:
            phase.run(context)
    assert caught.value.code == "unverified-demonstrations"
    assert len(caught.value.details["demonstrations"]) == 6


def test_some_unverified_episodes_are_left_out_of_exploration(tmp_path, logs):
    given = [verified(each, WORLD, KNOWN) for each in read_records(logs, Trajectory)]
    said = quietly(explorable, given, logs)
    assert said["unverified"]["verified"] == 4
