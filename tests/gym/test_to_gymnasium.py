import json
import subprocess
import sys
import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import ConfigError, EefWarning, EnvironmentFailure, UnknownName
from eef_framework.gym import GymnasiumEnvironment
from eef_framework.gym.registration import register_envs
from eef_framework.gym.to_gymnasium import LONGEST_ACTION, LONGEST_OBSERVATION, AnyText, EefEnv
from eef_framework.plugins import load_plugins
from eef_framework.testing.corridor import Corridor, best_action


@pytest.fixture
def ids(monkeypatch):
    """The ids of the corridor and whatever else is installed."""
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin,webshop")
    before = dict(gymnasium.registry)
    yield register_envs(load_plugins())
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


@pytest.mark.parametrize("env_id", ["eef/Corridor-v0", "eef/BlockingCorridor-v0", "eef/Shop-v0"])
def test_gymnasiums_checker_finds_nothing_to_complain_of(ids, env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gymnasium.make(env_id) as env:
            check_env(env.unwrapped)


def test_settings_and_split_are_arguments_of_make(ids):
    with gymnasium.make("eef/Corridor-v0", split="test", rooms=9) as env:
        assert env.unwrapped.environment.settings() == Corridor(rooms=9).settings()
        assert env.reset(seed=0)[1]["task"].startswith("corridor-test-")


@pytest.mark.parametrize(
    ("arguments", "code", "detail"),
    [
        ({"romos": 3}, "wrong-settings", ("settings", ["romos"])),
        ({"split": "tset"}, "no-such-split", ("split", "tset")),
    ],
)
def test_wrong_arguments_are_explained(ids, arguments, code, detail):
    with pytest.raises(ConfigError) as caught:
        gymnasium.make("eef/Corridor-v0", **arguments)
    assert (caught.value.code, caught.value.details[detail[0]]) == (code, detail[1])


def test_the_seed_draws_the_task():
    env = EefEnv(Corridor())
    first = [env.reset(seed=seed)[1]["task"] for seed in range(20)]
    assert first == [env.reset(seed=seed)[1]["task"] for seed in range(20)]
    assert len(set(first)) > 5
    env.reset(seed=1)
    following = [env.reset()[1]["task"] for _ in range(10)]
    env.reset(seed=1)
    assert following == [env.reset()[1]["task"] for _ in range(10)]
    assert len(set(following)) > 3


def test_a_task_can_be_asked_for_without_disturbing_the_draw():
    env = EefEnv(Corridor())
    text, info = env.reset(seed=1, options={"task": "corridor-train-004"})
    assert info["task"] == "corridor-train-004"
    assert text == Corridor().open(Corridor().tasks("train")[4]).observation.text
    after = env.reset()[1]["task"]
    env.reset(seed=1)
    assert after == env.reset()[1]["task"]


@pytest.mark.parametrize(
    ("task", "nearest"), [("corridor-train-04", "corridor-train-004"), ("x", "corridor-train-029")]
)
def test_an_unknown_task_is_refused_with_the_nearest(task, nearest):
    with pytest.raises(UnknownName, match=nearest) as caught:
        EefEnv(Corridor()).reset(options={"task": task})
    assert caught.value.details["given"] == task


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(UnknownName) as caught:
        EefEnv(Corridor()).reset(options={"tsak": "corridor-train-004"})
    assert (caught.value.details["what"], caught.value.details["given"]) == ("option", "tsak")


@pytest.mark.parametrize("action", [3, None, ["go[west]"], b"go[west]"])
def test_an_action_that_is_not_a_text_is_refused_and_not_counted(action):
    env = EefEnv(Corridor())
    env.reset(seed=0)
    with pytest.raises(gymnasium.error.InvalidAction):
        env.step(action)
    assert env.session.steps == []
    numpy_text = env.action_space.sample()
    assert env.step(numpy_text)[4]["valid"] is False


def test_an_episode_is_what_the_session_says():
    env = EefEnv(Corridor())
    text, info = env.reset(options={"task": "corridor-train-001"})
    total, terminated = 0.0, False
    while not terminated:
        assert best_action(text) in info["admissible_actions"]
        text, reward, terminated, truncated, info = env.step(best_action(text))
        total += reward
    assert (total, truncated, info["score"], info["valid"]) == (1.0, False, 1.0, True)
    with pytest.raises(EnvironmentFailure) as caught:
        env.step("look")
    assert caught.value.code == "episode-over"


def test_nonsense_is_marked_and_a_limit_truncates():
    env = EefEnv(Corridor(max_steps=2))
    env.reset(seed=0)
    assert env.step("stumble")[4]["valid"] is False
    _, _, terminated, truncated, _ = env.step("stumble")
    assert (terminated, truncated) == (False, True)


def test_a_step_before_the_reset_is_refused_as_gymnasium_does():
    with pytest.raises(gymnasium.error.ResetNeeded):
        EefEnv(Corridor()).step("look")


def test_the_latest_observation_is_rendered_if_asked_for():
    env = EefEnv(Corridor(), render_mode="ansi")
    text, _ = env.reset(seed=0)
    assert env.render() == text
    silent = EefEnv(Corridor())
    silent.reset()
    assert silent.render() is None


def test_an_environment_that_was_given_stays_open_and_one_that_was_made_is_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(Corridor, "close", lambda self: closed.append(self))
    EefEnv(Corridor()).close()
    assert closed == []
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin")
    EefEnv("corridor").close()
    assert len(closed) == 1


def test_a_new_episode_closes_the_one_before():
    env = EefEnv(Corridor())
    env.reset()
    before = env.session
    env.reset()
    assert before.closed
    env.close()
    env.close()


@given(st.text())
def test_every_text_is_in_the_space(text):
    assert text in AnyText()


def test_what_is_not_a_text_or_too_long_is_not_in_the_space():
    assert 3 not in AnyText()
    assert "x" * (LONGEST_OBSERVATION + 1) not in AnyText()
    assert AnyText(3) == AnyText(3) != AnyText(4)


def test_a_longer_action_than_the_space_has_is_carried_out_all_the_same():
    env = EefEnv(Corridor())
    env.reset(seed=0)
    action = "x" * (LONGEST_ACTION + 1)
    assert action not in env.action_space
    assert env.step(action)[4]["valid"] is False


def test_vectors_of_environments_play_side_by_side(ids):
    envs = gymnasium.make_vec("eef/Corridor-v0", num_envs=3, vectorization_mode="sync")
    texts, infos = envs.reset(seed=[1, 2, 3])
    assert len(texts) == len(set(infos["task"])) == 3
    _, rewards, _, _, infos = envs.step(["naïve 猫", "go[west]", "go[east]"])
    assert infos["valid"].tolist()[0] is False
    assert rewards.shape == (3,)
    envs.close()


def test_both_ways_lead_back_to_the_same_episode(ids):
    there = Corridor()
    back = GymnasiumEnvironment(id="eef/Corridor-v0")
    with back.open(back.tasks("train")[3]) as session:
        task = next(task for task in there.tasks("train") if task.id == session.env.unwrapped.session.task.id)
        with there.open(task) as other:
            while not other.done:
                assert session.observation.text == other.observation.text
                assert session.observation.actions == other.observation.actions
                action = best_action(other.observation.text)
                step = other.step(action)
                assert (session.step(action).reward, session.done) == (step.reward, step.done)


def test_two_classes_of_one_name_are_told(ids):
    registry = load_plugins()
    twin = type("Corridor", (Corridor,), {"name": "twin", "__doc__": "Twin.", "__annotations__": {}})
    registry.register(twin)
    with pytest.warns(EefWarning) as warned:
        assert register_envs(registry).count("eef/Corridor-v0") == 1
    warning = warned.pop(EefWarning).message
    assert warning.code == "gymnasium-id-taken"
    assert warning.details == {"id": "eef/Corridor-v0", "environment": "twin"}


def test_environments_of_a_registry_of_ones_own_are_made_with_it(ids):
    registry = load_plugins()
    registry.register(type("Mine", (Corridor,), {"name": "mine", "__doc__": "Mine.", "__annotations__": {}}))
    register_envs(registry)
    with gymnasium.make("eef/Mine-v0", split="test") as env:
        assert env.unwrapped.environment.component_name() == "mine"


def test_gymnasium_finds_them_by_the_module_before_the_id():
    code = (
        "import gymnasium, json; env = gymnasium.make('eef_framework.gym.registration:eef/Shop-v0', split='dev');"
        "print(json.dumps(env.reset(seed=0)[1]['task']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).startswith("dev-")
