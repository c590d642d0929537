"""With the real simulator. One JVM serves the quick tests."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from eef_sciworld.environment import SciWorld
from eef_sciworld.experts import FallibleExpert, GoldExpert
from eef_sciworld.protocol import VARIATIONS, variations
from eef_sciworld.simulator import Setup

from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_framework.interfaces import replay
from eef_framework.records import encodable
from eef_framework.testing.conformance import check_environment
from eef_framework.testing.corridor import Corridor

QUICK = ("find-living-thing", "lifespan-longest-lived")


@pytest.fixture(scope="module")
def environment():
    with SciWorld(types=QUICK, slots=2) as environment:
        yield environment


@pytest.fixture(scope="module")
def task(environment):
    return next(task for task in environment.tasks("test") if task.kind == "lifespan-longest-lived")


def demonstrations(expert, environment, tasks, seed=0):
    async def gather():
        return [trajectory async for trajectory in expert.demonstrate(environment, tasks, seed)]

    return sorted(asyncio.run(gather()), key=lambda trajectory: trajectory.task.id)


@pytest.mark.slow
def test_the_first_observation_has_the_task_and_the_room(environment, task):
    with environment.open(task) as session:
        assert session.observation.text.startswith("Your task is to find the animal with the longest life span.")
        assert "You also see:" in session.observation.text
        assert session.observation.actions is None


@pytest.mark.slow
def test_the_solution_scores_100(environment):
    tasks = environment.tasks("test")[:3]
    for trajectory in demonstrations(GoldExpert(), environment, tasks):
        assert (trajectory.ending, trajectory.reward) == ("terminated", 1.0)
        assert trajectory.steps[-1].info == {"score": 100}


@pytest.mark.slow
def test_a_fallible_expert_succeeds_as_often_as_it_is_skilled_and_always_the_same_way(environment):
    tasks = environment.tasks("train")[:3]
    assert all(row.reward == 1.0 for row in demonstrations(FallibleExpert(skill=1.0), environment, tasks))
    failing = demonstrations(FallibleExpert(skill=0.0), environment, tasks)
    assert not any(row.reward == 1.0 for row in failing)
    assert [row.actions for row in failing] == [
        row.actions for row in demonstrations(FallibleExpert(skill=0.0), environment, tasks[::-1])
    ]


@pytest.mark.slow
def test_a_fallible_expert_stops_or_looks_around_after_a_hard_action(environment):
    tasks = environment.tasks("train")[:3]
    (path, *_) = [environment.gold_path(task) for task in tasks]
    hard = FallibleExpert(skill=1.0, wandering=0.0, hard=(path[1],))
    (stopped, *_) = demonstrations(hard, environment, tasks)
    assert stopped.actions == path[:2]
    assert stopped.reward < 1.0
    patient = hard.model_copy(update={"patience": 3})
    (looked, *_) = demonstrations(patient, environment, tasks)
    assert looked.actions[:2] == path[:2]
    assert 3 <= len(looked.actions) <= 5
    assert set(looked.actions[2:]) <= {"look around", "inventory", "wait1"}
    willing = hard.model_copy(update={"hard_skill": 1.0})
    assert demonstrations(willing, environment, tasks)[0].reward == 1.0


def test_experts_refuse_other_environments():
    with pytest.raises(ConfigError) as caught:
        GoldExpert().preflight(Corridor())
    assert caught.value.code == "expert-misfit"


def test_what_the_simulator_does_not_understand_is_invalid_and_changes_nothing(environment, task):
    with environment.open(task) as session:
        before = session.step("look around").observation
        for nonsense in ("", "dance", "\x00", "naïve 猫 \u202e", "\ud800", "x" * 10_000):
            step = session.step(nonsense)
            assert (step.valid, step.action) == (False, encodable(nonsense))
        assert session.step("look around").observation == before


@pytest.mark.slow
def test_the_wrong_choice_ends_the_task_with_the_score_of_the_rule(task):
    rewards = {}
    for rule in ("highest", "last"):
        with SciWorld(types=QUICK, slots=1, score=rule) as environment:
            other = next(each for each in environment.tasks("test") if each.id == task.id)
            with environment.open(other) as session:
                session.step("teleport to outside")
                before = session.reward
                step = session.step("focus on axe")
                assert (step.terminated, step.info["score"]) == (True, -100)
                rewards[rule] = (before > 0, session.reward == before, session.reward)
    assert rewards["highest"][:2] == (True, True)
    assert rewards["last"] == (True, False, 0.0)


@pytest.mark.slow
def test_the_step_limit_truncates(task):
    with SciWorld(types=QUICK, slots=1, max_steps=2) as environment:
        other = next(each for each in environment.tasks("test") if each.id == task.id)
        with environment.open(other) as session:
            assert [session.step("inventory").truncated for _ in range(2)] == [False, True]


def test_a_fork_is_independent_and_a_recording_can_be_replayed(environment, task):
    with environment.open(task) as session:
        session.step("teleport to kitchen")
        with session.fork() as fork, session.fork() as third:
            assert "bedroom" in fork.step("teleport to bedroom").observation.text
            ours = session.step("look around").observation.text
            assert "kitchen" in ours
            assert third.step("look around").observation.text == ours
        with replay(environment, task, session.initial, session.steps) as again:
            assert again.observation == session.observation


@pytest.mark.slow
def test_a_killed_jvm_loses_no_episode(environment, task):
    sessions = [environment.open(task) for _ in range(4)]
    expected = {session.step("teleport to kitchen").observation.text for session in sessions}
    before = environment.simulators.restarts
    os.kill(environment.simulators.pid, signal.SIGKILL)
    texts = {session.step("look around").observation.text for session in sessions}
    assert len(texts) == 1
    assert texts != expected
    assert environment.simulators.restarts == before + 1
    for session in sessions:
        session.close()


@pytest.mark.slow
def test_compact_mode_lists_what_the_expert_does(task):
    with SciWorld(types=QUICK, slots=2, mode="compact", admissible="compact") as environment:
        expert, tasks = GoldExpert(brief=True), environment.tasks("train")[:2]
        for trajectory in demonstrations(expert, environment, tasks):
            assert trajectory.reward == 1.0
            for state, step in enumerate(trajectory.steps):
                seen = trajectory.observation(state)
                assert len(seen.text.split()) < 160
                assert step.action in seen.actions or " in " in step.action or " to " in step.action


@pytest.mark.slow
def test_listed_actions_are_understood_and_those_on_things_in_closed_cupboards_are_not_listed(environment):
    kitchen = Setup("change-the-state-of-matter-of", 2, "easy")

    def after(simulator, action):
        simulator.load(kitchen)
        return simulator.step(action)

    def look(simulator):
        simulator.load(kitchen)
        everything, listed = simulator.valid_actions(), simulator.understood_actions()
        left_out = [action for action in everything if action not in listed and action.startswith("pick up")]
        some = random.Random(0).sample(listed, 20)
        return {a: after(simulator, a).understood for a in some}, {a: after(simulator, a).understood for a in left_out}

    listed, left_out = environment.simulators.run(look)
    assert all(listed.values()), listed
    assert "pick up sodium chloride" in left_out
    assert not any(left_out.values()), left_out


@pytest.mark.slow
def test_a_jvm_that_hangs_is_replaced(task):
    with SciWorld(types=QUICK, slots=1, call_timeout_s=20) as environment:
        other = next(each for each in environment.tasks("test") if each.id == task.id)
        with environment.open(other) as session:
            expected = session.step("look around").observation
            with session.fork() as fork:
                first = environment.simulators.pid
                os.kill(first, signal.SIGSTOP)
                while psutil.Process(first).status() != psutil.STATUS_STOPPED:  # on a busy machine it goes on for a bit
                    time.sleep(0.01)
                assert session.step("look around").observation == expected
                assert environment.simulators.pid != first
                assert not psutil.pid_exists(first)
                assert fork.step("look around").observation == expected


@pytest.mark.slow
def test_closing_ends_the_jvm_and_the_sessions():
    environment = SciWorld(types=QUICK, slots=1)
    session = environment.open(environment.tasks("test")[0])
    pid = environment.simulators.pid
    environment.close()
    environment.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(EnvironmentFailure, match="closed"):
        session.step("look around")


@pytest.mark.slow
def test_a_killed_python_leaves_no_jvm_behind():
    code = (
        "import time; from eef_sciworld.environment import SciWorld; e = SciWorld(types=('melt',), slots=1)\n"
        "e.open(e.tasks('test')[0]); print(e.simulators.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        assert psutil.pid_exists(pid)
        process.kill()
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the JVM goes on without its Python"
        time.sleep(0.1)


@pytest.mark.slow
def test_the_lists_of_tasks_are_the_simulators_own(environment):
    def read(simulator):
        interface, found = simulator._interface, {}
        for kind in interface.getTaskNames():
            interface.load(kind, 0, "easy", False)
            lists = (interface.getVariationsTrain(), interface.getVariationsDev(), interface.getVariationsTest())
            found[kind] = (simulator.variations(kind), [list(each) for each in lists])
        return found

    expected = {
        kind: (count, [list(variations("package", split, kind)) for split in ("train", "dev", "test")])
        for kind, count in VARIATIONS.items()
    }
    assert environment.simulators.run(read) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"mode": "compact", "admissible": "compact"}], ids=["text", "compact-with-actions"]
)
def test_scienceworld_keeps_its_contract(settings):
    with SciWorld(types=QUICK, max_steps=12, slots=4, **settings) as environment:
        actions = ("look around", "teleport to kitchen", "pick up orange", "focus on air", "go to hallway", "wait1")
        check_environment(environment, tasks=2, steps=6, actions=actions)
