import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_framework.interfaces import EpisodeSpec, Sampling
from eef_framework.records import State, SuccessRule, Task
from eef_framework.rollout import EpisodeRunner
from eef_framework.testing.corridor import (
    KINDS,
    SPLITS,
    BlockingCorridor,
    Corridor,
    CorridorSession,
    best_action,
    success_chance,
)
from eef_framework.testing.queue_policy import ScriptedPolicy


def room(start: int = 0, door: int = 3, key: int = -1, kind: str = "short", **settings) -> CorridorSession:
    task = Task(id="t", environment="corridor", kind=kind, info={"start": start, "door": door, "key": key})
    return Corridor(**settings).open(task)


def take(session: CorridorSession, *actions: str) -> CorridorSession:
    for action in actions:
        session.step(action)
    return session


@pytest.mark.parametrize("split", SPLITS)
def test_every_task_can_be_solved_by_the_best_actions(split):
    environment = Corridor()
    for task in environment.tasks(split):
        session = environment.open(task)
        while not session.done:
            session.step(best_action(session.observation.text))
        assert (session.reward, session.steps[-1].terminated) == (1.0, True)


def test_kinds_take_turns():
    assert [task.kind for task in Corridor().tasks("train")[:4]] == ["short", "long", "detour", "short"]
    assert {task.kind for task in Corridor().tasks("test")} == set(KINDS)


def test_a_detour_leads_away_from_the_door_first():
    for task in Corridor().tasks("train"):
        start, door, key = (task.info[name] for name in ("start", "door", "key"))
        if task.kind == "detour":
            assert 0 <= key < start < door
        elif task.kind == "long":
            assert start <= 1 < key < door


def test_the_first_tasks_do_not_depend_on_how_many_there_are():
    assert Corridor(tasks_per_split=3).tasks("dev") == Corridor(tasks_per_split=9).tasks("dev")[:3]


def test_an_unknown_split_is_refused():
    with pytest.raises(ConfigError, match="no split 'validation'"):
        Corridor().tasks("validation")


def test_a_task_of_another_environment_is_refused():
    with pytest.raises(EnvironmentFailure, match="task 't' of environment 'shop'"):
        Corridor().open(Task(id="t", environment="shop"))


def test_an_unlocked_door_needs_no_key():
    session = take(room(start=1, door=2), "go[east]", "open[door]")
    assert (session.reward, session.done) == (1.0, True)


def test_a_locked_door_jams_without_its_key_and_nothing_can_be_won_any_more():
    session = take(room(start=2, door=2, key=3), "open[door]")
    assert not session.done
    assert "jammed" in session.observation.text
    take(session, "go[east]", "take[key]", "go[west]")
    assert "open[door]" not in session.observation.actions
    assert session.step("open[door]").valid is False
    assert best_action(session.observation.text) == "go[west]"


def test_a_wrong_turn_can_be_made_good():
    session = take(
        room(start=1, door=1, key=2), "go[west]", "go[east]", "go[east]", "take[key]", "go[west]", "open[door]"
    )
    assert session.reward == 1.0


@pytest.mark.parametrize(("actions", "reward"), [([], 0.25), (["take[key]"], 0.5)])
def test_leaving_by_the_exit_earns_part_of_the_reward(actions, reward):
    session = take(room(start=0, key=0), *actions, "go[west]")
    assert (session.reward, session.steps[-1].terminated) == (reward, True)


def test_the_step_limit_ends_an_episode_without_reward():
    session = take(room(max_steps=2), "go[east]", "go[west]")
    assert (session.reward, session.steps[-1].truncated, session.steps[-1].terminated) == (0.0, True, False)


def test_the_last_step_before_the_limit_may_solve_the_task():
    session = take(room(start=2, max_steps=2), "go[east]", "open[door]")
    assert (session.reward, session.steps[-1].truncated) == (1.0, False)


@given(st.text())
def test_an_action_that_is_not_listed_changes_nothing(action):
    session = room(start=1)
    if action in session.observation.actions:
        return
    step = session.step(action)
    assert (step.valid, step.observation) == (False, session.initial)


def test_an_observation_tells_everything_a_decision_needs():
    session = room(start=0, door=3, key=2)
    assert session.observation.text == "door: 3 east, locked\nkey: 2 east\nexit: 1 west"
    take(session, "go[east]", "go[east]", "take[key]")
    assert session.observation.text == "door: 1 east, locked\nkey: held"


def test_faults_happen_where_they_are_asked_for():
    with pytest.raises(RuntimeError, match="open t"):
        room(fault="open")
    session = take(room(fault="raise", fault_step=2), "go[east]")
    with pytest.raises(RuntimeError, match="at step 2"):
        session.step("go[east]")
    assert len(session.steps) == 1
    environment = Corridor(fault="diverge")
    texts = {environment.open(task).step("look").observation.text for task in [environment.tasks("train")[0]] * 3}
    assert len(texts) == 3


def test_a_fault_can_be_limited_to_a_kind_of_task():
    assert room(kind="long", fault="raise", fault_kind="short").step("go[east]").valid
    with pytest.raises(RuntimeError):
        room(kind="short", fault="raise", fault_kind="short").step("go[east]")


def test_a_hanging_step_waits():
    began = time.monotonic()
    room(fault="hang", hang_s=0.05).step("go[east]")
    assert time.monotonic() - began >= 0.05


def test_the_blocking_corridor_is_the_same_world():
    quick, slow = Corridor(), BlockingCorridor()
    assert slow.blocking
    assert not quick.blocking
    assert [t.info for t in slow.tasks("train")] == [t.info for t in quick.tasks("train")]
    slow.open(slow.tasks("train")[0]).step("go[east]")


@pytest.mark.parametrize("number", [0, 1, 2])  # short, long, detour
def test_the_exact_chance_of_success_is_what_the_scripted_policy_achieves(number):
    corridor = Corridor()
    task = corridor.tasks("train")[number]
    runner = EpisodeRunner(corridor, ScriptedPolicy(skill=0.7), "agent/test", ChatFormat(), Sampling())

    async def played():
        return [await runner.play(EpisodeSpec(id=str(seed), start=State(task=task), seed=seed)) for seed in range(400)]

    with corridor.open(task) as session:
        chance = success_chance(session, 0.7)
    rate = sum(map(SuccessRule().holds, asyncio.run(played()))) / 400
    assert rate == pytest.approx(chance, abs=0.07)  # almost three standard errors


def test_nothing_is_won_from_a_jammed_door():
    session = take(room(door=2, key=4), "go[east]", "go[east]")
    assert success_chance(session, 1.0) == 1.0
    assert success_chance(take(session, "open[door]"), 0.9) == 0.0


def test_an_ended_episode_is_won_or_not():
    assert success_chance(take(room(door=1), "go[east]", "open[door]"), 0.5) == 1.0
    assert success_chance(take(room(), "go[west]"), 0.5) == 0.0
