from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from eef_textworld.environment import TextWorld
from eef_textworld.experts import TextWorldWalkthrough

from eef_framework.errors import ConfigError, EefWarning, EnvironmentFailure
from eef_framework.interfaces import replay
from eef_framework.testing.conformance import check_environment


def walk(session, seed=0, steps=12):
    draw = random.Random(seed)
    while not session.done and len(session.steps) < steps:
        session.step(draw.choice(session.observation.actions))
    return session


@pytest.mark.slow
def test_the_environment_keeps_its_contract(small):
    check_environment(small, tasks=2, steps=6)


@pytest.mark.slow
def test_text_mode_and_default_games_keep_the_contract():
    with TextWorld(mode="text", theme="house", train=30, dev=10, test=10) as environment:
        check_environment(environment, tasks=3, steps=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("challenge", "settings"),
    [
        ("tw-simple", {}),
        ("tw-cooking", {"options": {"recipe": 1, "take": 1, "cook": True, "open": True, "go": 6}, "max_steps": 40}),
        ("tw-coin_collector", {"level": 4}),
        ("tw-treasure_hunter", {"level": 8}),
    ],
)
def test_challenges_keep_the_contract_and_are_won_by_their_walkthrough(challenge, settings, demonstrate):
    with TextWorld(challenge=challenge, **settings) as environment:
        check_environment(environment, tasks=2, steps=6)
        for shown in demonstrate(TextWorldWalkthrough(), environment, environment.tasks("test")[:3]):
            assert (shown.reward, shown.ending) == (1.0, "terminated"), shown.error


@pytest.mark.slow
def test_the_first_observation_shows_goal_room_exits_and_things(textworld):
    task = textworld.tasks("train")[0]
    with textworld.open(task) as session:
        lines = session.observation.text.splitlines()
        assert [line.split()[0] for line in lines[:2]] == ["goal", "room"]
        assert {line.split()[0] for line in lines} & {"north", "east", "south", "west"}
        assert not {"look", "inventory"} & set(session.observation.actions)


def test_a_room_that_was_visited_is_marked_as_seen(small):
    for task in small.tasks("train")[:12]:
        with small.open(task) as session:
            way = next((each for each in session.observation.actions if each.startswith("go ")), None)
            if way is None:
                continue
            back = {"go north": "south", "go south": "north", "go east": "west", "go west": "east"}[way]
            step = session.step(way)
            if not step.done:
                assert f"{way.removeprefix('go ')} new" in session.initial.text
                assert f"{back} seen" in step.observation.text
                return
    raise AssertionError("none of the games lets one go anywhere")


def test_an_inadmissible_command_changes_nothing_and_is_invalid(small):
    with small.open(small.tasks("train")[0]) as session:
        step = session.step("dance with the bear")
        assert not step.valid
        assert step.observation == session.initial


def test_commands_that_are_not_listed_in_compact_mode_are_understood(small):
    with small.open(small.tasks("train")[0]) as session:
        assert session.step("inventory").valid


@pytest.mark.slow
def test_the_reward_is_the_share_of_the_score_and_one_if_and_only_if_the_game_is_won(demonstrate):
    with TextWorld(challenge="tw-simple") as environment:
        task = environment.tasks("train")[0]
        (shown,) = demonstrate(TextWorldWalkthrough(), environment, [task])
        gains = [step.reward for step in shown.steps]
        assert shown.reward == pytest.approx(sum(gains)) == 1.0
        assert sum(gain > 0 for gain in gains) > 3  # its quests are rewarded one by one
        with environment.open(task) as session:
            for step in shown.steps[:-1]:
                session.step(step.action)
            assert 0.5 < session.reward < 1.0
            assert not session.done


@pytest.mark.slow
def test_an_episode_is_cut_at_the_limit_of_steps(small):
    with TextWorld(rooms=2, objects=3, shortest=3, longest=3, max_steps=2) as environment:
        session = environment.open(environment.tasks("train")[0])
        session.step("look")
        step = session.step("look")
        assert (step.truncated, step.terminated) == (True, False)
        session.close()


def test_a_fork_equals_a_replay_in_every_state(textworld):
    for task in textworld.tasks("train")[:4]:
        with walk(textworld.open(task), seed=1) as whole:
            steps = list(whole.steps)
        for cut in range(len(steps)):
            with replay(textworld, task, whole.initial, steps[:cut]) as parent, parent.fork() as fork:
                assert (fork.observation, fork.reward, fork.steps) == (parent.observation, parent.reward, steps[:cut])
                for expected in steps[cut:]:
                    assert fork.step(expected.action) == expected
                assert parent.observation == (steps[cut - 1].observation if cut else whole.initial)


def test_tasks_have_kinds_versions_and_distinct_fingerprints(textworld):
    tasks = textworld.tasks("train")
    assert [task.kind for task in tasks[:4]] == ["quest-2", "quest-3", "quest-4", "quest-5"]
    assert tasks[0].info["textworld"].startswith("1.7")
    assert len({task.fingerprint for split in ("train", "dev", "test") for task in textworld.tasks(split)}) == 3500


def test_a_task_of_another_version_or_environment_is_refused(small):
    task = small.tasks("train")[0]
    for other in (
        task.changed(info={**task.info, "rooms": 3}),
        task.changed(environment="shop"),
        task.changed(fingerprint="0"),
        task.changed(info={}),
    ):
        with pytest.raises(EnvironmentFailure) as caught:
            small.open(other)
        assert caught.value.code == "foreign-task"


def test_old_names_of_settings_are_read_with_a_warning():
    with pytest.warns(EefWarning) as caught:
        environment = TextWorld.model_validate({"kept": 5, "limit_s": 3.0})
    assert (environment.cached_games, environment.timeout_s) == (5, 3.0)
    assert {warning.message.code for warning in caught if isinstance(warning.message, EefWarning)} == {"renamed"}


def test_contradictory_settings_are_refused():
    with pytest.raises(ConfigError) as caught:
        TextWorld(shortest=5, longest=4)
    assert (caught.value.code, caught.value.details) == ("bad-range", {"shortest": 5, "longest": 4})
    with pytest.raises(ConfigError) as caught:
        TextWorld(challenge="tw-treasure_hunter", level=31)
    assert (caught.value.code, caught.value.details) == ("no-such-level", {"level": 31})


def test_an_incomplete_textworld_is_found_before_a_run(monkeypatch, tmp_path):
    TextWorld().preflight()
    assert TextWorld(max_steps=9).longest_episode == 9
    monkeypatch.setattr("eef_textworld._compat.jericho.find_spec", lambda _: SimpleNamespace(origin=tmp_path / "x.py"))
    with pytest.raises(ConfigError) as caught:
        TextWorld().preflight()
    assert (caught.value.code, caught.value.details["path"]) == ("textworld-missing", str(tmp_path / "libfrotz.so"))
    monkeypatch.setattr("eef_textworld.environment.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        TextWorld().preflight()
    assert (caught.value.code, caught.value.details["package"]) == ("textworld-missing", "textworld")


@pytest.mark.slow
def test_a_setting_that_textworld_refuses_is_explained():
    with (
        TextWorld(challenge="tw-coin_collector", level=180) as environment,
        pytest.raises(EnvironmentFailure) as caught,
    ):
        environment.open(environment.tasks("train")[0])
    assert caught.value.code == "textworld-failed"


@pytest.mark.slow
def test_text_mode_describes_the_state_in_sentences_and_only_the_requested_parts(demonstrate):
    settings = {"rooms": 2, "objects": 3, "shortest": 2, "longest": 3, "mode": "text"}
    with TextWorld(**settings, parts=("room",)) as environment:
        task = environment.tasks("train")[0]
        assert environment.instructions
        with environment.open(task) as session:
            assert "You carry" in session.initial.text or "You are carrying" in session.initial.text
            step = session.step("look")
            assert step.observation.text.startswith("You look.")
            assert "You are in the " in step.observation.text
            assert not {"carry", "carrying:"} & set(step.observation.text.split())
            assert "look" in step.observation.actions
        (shown,) = demonstrate(TextWorldWalkthrough(), environment, [task])
        assert shown.steps[-1].observation.text.endswith("*** The game is won. ***")


@pytest.mark.slow
def test_a_recipe_that_was_read_remains_in_observations():
    with TextWorld(challenge="tw-cooking") as environment, environment.open(environment.tasks("train")[0]) as session:
        assert "read " not in session.observation.text
        assert "examine cookbook" in session.observation.actions
        session.step("examine cookbook")
        assert "prepare meal" in session.observation.text
        with session.fork() as fork:
            assert "prepare meal" in fork.step("examine cookbook").observation.text
