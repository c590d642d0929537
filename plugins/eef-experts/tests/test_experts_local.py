"""Policies as experts."""

import asyncio

import pytest
from eef_experts.local import LocalExpert

from eef_framework.errors import ConfigError, UnknownName
from eef_framework.plugins import load_plugins
from eef_framework.policies.tiny import TinyModel
from eef_framework.records import Message
from eef_framework.rollout import continuations
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.queue_policy import ScriptedPolicy

CORRIDOR = Corridor()
TASKS = CORRIDOR.tasks("train")[:3]
SCRIPTED = "eef_framework.testing.queue_policy:ScriptedPolicy"


def demonstrations(expert, tasks=TASKS):
    async def gather():
        return [trajectory async for trajectory in expert.demonstrate(CORRIDOR, tasks, 7)]

    return asyncio.run(gather())


def test_any_policy_plays_as_the_expert():
    played = demonstrations(LocalExpert(policy={"name": SCRIPTED, "skill": 1.0}))
    assert [trajectory.reward for trajectory in played] == [1.0] * 3
    assert {trajectory.actor for trajectory in played} == {"expert/local"}
    assert all(trajectory.info["turns"] == len(trajectory.steps) for trajectory in played)


def test_a_policy_continues_the_episodes_of_another():
    (episode,) = demonstrations(LocalExpert(policy={"name": SCRIPTED, "skill": 0.0}, max_steps=4), TASKS[:1])
    states = [episode.changed(id="agent/1").at(state) for state in range(5)]

    async def gather(steps):
        expert = LocalExpert(policy={"name": SCRIPTED, "skill": 1.0})
        return [row async for row in continuations(expert, CORRIDOR, states, 7, steps)]

    rows = {row.prefix_length: row for row in asyncio.run(gather(1))}
    assert sorted(rows) == [0, 1, 2, 3, 4]
    assert all(row.steps[:-1] == states[start].steps for start, row in rows.items())
    assert {row.ending for row in rows.values()} <= {"step-limit", "terminated"}
    assert all(row.reward == 1.0 for row in asyncio.run(gather(None)))


def test_a_name_alone_is_a_policy_with_its_defaults_which_the_record_holds():
    assert LocalExpert(policy=SCRIPTED).policy == {"name": SCRIPTED, "skill": 0.5, "template": "Action: {action}"}


def test_its_policy_comes_from_the_registry_that_builds_it():
    class Hidden(ScriptedPolicy):
        name = "hidden"

    registry = load_plugins(["experts"])
    registry.register(Hidden)
    expert = registry.build("expert", {"name": "local", "policy": {"name": "hidden", "skill": 1.0}})
    assert [trajectory.reward for trajectory in demonstrations(expert)] == [1.0] * 3


def test_plugins_that_a_run_leaves_out_are_left_out_of_its_experts_too():
    with pytest.raises(UnknownName):
        load_plugins(["experts"]).build("expert", {"name": "local", "policy": "scripted"})


def test_its_settings_build_an_equal_expert():
    one = LocalExpert(policy={"name": SCRIPTED, "skill": 0.25}, temperature=0.5)
    assert LocalExpert(**{key: value for key, value in one.settings().items() if key != "name"}) == one


@pytest.mark.parametrize(
    ("policy", "error", "code"),
    [
        ("transformres", UnknownName, "unknown-name"),
        ({"name": "transformers", "modle": "x"}, ConfigError, "wrong-settings"),
        ({}, ConfigError, "no-name"),
    ],
)
def test_misspelt_settings_are_found_before_anything_starts(policy, error, code):
    with pytest.raises(error) as caught:
        LocalExpert(policy=policy)
    assert caught.value.code == code


def test_missing_weights_are_found_before_anything_starts(tmp_path):
    with pytest.raises(ConfigError) as caught:
        LocalExpert(policy=SCRIPTED, checkpoint=str(tmp_path / "gone")).preflight(CORRIDOR)
    assert caught.value.code == "no-such-checkpoint"
    LocalExpert(policy=SCRIPTED, checkpoint=str(tmp_path)).preflight(CORRIDOR)


def test_a_policy_that_can_not_run_is_found_before_anything_starts(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError) as caught:
        LocalExpert(policy={"name": "openai", "model": "gpt-4o"}).preflight(CORRIDOR)
    assert caught.value.code == "no-key"


@pytest.mark.slow
@pytest.mark.parametrize("named_by", ["checkpoint", "model"])
def test_a_model_of_transformers_plays_with_its_weights(tmp_path, named_by):
    words = [Message(role="system", content=CORRIDOR.instructions)]
    for task in TASKS:
        session = CORRIDOR.open(task)
        words += [Message(role="user", content=session.observation.text)]
        words += [Message(role="assistant", content=action) for action in session.observation.actions]
    folder = TinyModel().build([tuple(words)], tmp_path / "tiny", 0).path
    policy = {"name": "transformers"} | ({"model": str(folder)} if named_by == "model" else {})
    checkpoint = str(folder) if named_by == "checkpoint" else ""
    expert = LocalExpert(
        policy=policy, checkpoint=checkpoint, style="action", guidance="", history=1, max_tokens=4, max_steps=2
    )
    played = demonstrations(expert)
    assert [len(trajectory.steps) for trajectory in played] == [2, 2, 2]
    assert all(step.response.token_ids for trajectory in played for step in trajectory.steps)
