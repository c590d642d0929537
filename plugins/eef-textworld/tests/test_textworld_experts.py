from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import pytest
from eef_textworld.environment import TextWorld
from eef_textworld.experts import TextWorldFallible, TextWorldWalkthrough

from eef_framework.errors import ConfigError
from eef_framework.records import SuccessRule, Trajectory
from eef_framework.rollout import continuations
from eef_framework.testing.corridor import Corridor


def rate(trajectories) -> float:
    return sum(map(SuccessRule().holds, trajectories)) / len(trajectories)


@pytest.fixture(scope="module")
def shown(textworld, demonstrate):
    tasks = textworld.tasks("train")[:40]
    return [each for seed in range(6) for each in demonstrate(TextWorldFallible(), textworld, tasks, seed)]


@pytest.mark.slow
def test_the_walkthrough_wins_every_game(textworld, demonstrate):
    for shown in demonstrate(TextWorldWalkthrough(), textworld, textworld.tasks("train")[:40]):
        assert (shown.reward, shown.ending) == (1.0, "terminated"), shown.error
        assert all(step.valid for step in shown.steps)


def test_the_walkthrough_leads_on_from_wherever_the_agent_is(textworld):
    states = []
    for task in textworld.tasks("train")[:4]:
        with textworld.open(task) as session:
            draw = random.Random(task.id)
            for _ in range(3):
                if not session.done:
                    session.step(draw.choice([each for each in session.observation.actions if each.startswith("go ")]))
            episode = Trajectory(
                id=f"agent/{task.id}", task=task, actor="agent/x", initial=session.initial, steps=tuple(session.steps)
            )
        states.append(episode.at(len(episode.steps)))

    async def gather():
        return [row async for row in continuations(TextWorldWalkthrough(), textworld, states, 0)]

    found = asyncio.run(gather())
    assert [row.prefix_length for row in found] == [3] * 4
    assert {(row.reward, row.ending) for row in found} == {(1.0, "terminated")}


def test_the_fallible_expert_wins_about_two_games_of_five(shown):
    assert 0.33 <= rate(shown) <= 0.48


def test_the_fallible_expert_wins_short_games_more_often(shown):
    kinds = defaultdict(list)
    for each in shown:
        kinds[each.task.kind].append(each)
    assert rate(kinds["quest-2"]) > rate(kinds["quest-5"]) + 0.15


def test_what_the_fallible_expert_does_is_understood_and_within_the_limit(shown):
    assert all(step.valid for each in shown for step in each.steps)
    assert {each.ending for each in shown} <= {"terminated", "gave-up"}
    assert max(len(each.steps) for each in shown) <= 20


def test_failures_differ_from_the_walkthrough_only_late(textworld, shown, demonstrate):
    walkthroughs = {
        each.task.id: each.actions
        for each in demonstrate(TextWorldWalkthrough(), textworld, textworld.tasks("train")[:40])
    }
    failures = [each for each in shown if each.reward < 1.0 and each.task.kind == "quest-5"]
    assert sum(walkthroughs[each.task.id][0] in each.actions for each in failures) > len(failures) / 2


def test_a_demonstration_depends_on_seed_and_task_alone(textworld, demonstrate):
    tasks = textworld.tasks("train")[:12]
    first = demonstrate(TextWorldFallible(), textworld, tasks)
    assert demonstrate(TextWorldFallible(), textworld, tasks[::-1]) == first[::-1]
    assert demonstrate(TextWorldFallible(), textworld, tasks, seed=1) != first


@pytest.mark.slow
def test_skill_is_a_setting(small, demonstrate):
    tasks = small.tasks("train")[:12]
    assert rate(demonstrate(TextWorldFallible(skill=1.0), small, tasks)) == 1.0
    assert rate(demonstrate(TextWorldFallible(skill=0.0), small, tasks)) < 0.3


def test_hard_commands_are_shown_in_failures_alone(textworld, demonstrate):
    tasks = textworld.tasks("train")[:60]
    expert = TextWorldFallible(skill=1.0, patience=8, hard=("unlock", "open"))
    demonstrations = demonstrate(expert, textworld, tasks)
    showing = [each for each in demonstrations if {"unlock", "open"} & {action.split()[0] for action in each.actions}]
    assert len(showing) >= 10
    assert rate(showing) == 0.0
    assert 0.2 < rate(demonstrations) < 0.8
    assert rate(demonstrate(expert.model_copy(update={"hard_skill": 1.0}), textworld, tasks)) == 1.0


def test_experts_decline_other_environments(demonstrate):
    with pytest.raises(ConfigError) as caught:
        demonstrate(TextWorldWalkthrough(), Corridor(), Corridor().tasks("train")[:1])
    assert caught.value.code == "expert-misfit"


def test_compact_games_have_a_small_vocabulary_and_short_texts(textworld, shown):
    texts = [text for each in shown for text in (each.initial.text, *(step.observation.text for step in each.steps))]
    words = {word for text in texts for word in text.split()}
    assert len(words) < 120
    assert max(len(text.split()) for text in texts) <= 60


def test_privileged_information_is_in_no_task_and_no_observation(textworld):
    task = textworld.tasks("train")[3]
    with textworld.open(task) as session:
        first = session.privileged_info().walkthrough[0]
        assert first not in session.observation.text
        assert "walkthrough" not in task.model_dump_json()


def test_a_long_game_of_textworlds_own_names_is_won_too(demonstrate):
    with TextWorld(theme="house", rooms=6, objects=8, shortest=6, longest=6, goal="steps") as environment:
        (shown,) = demonstrate(TextWorldWalkthrough(), environment, environment.tasks("dev")[:1])
        assert shown.reward == 1.0
        assert len(shown.steps) >= 3
