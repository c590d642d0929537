import asyncio
import threading
from typing import ClassVar

import pytest

from eef_framework.errors import ConfigError, EnvironmentFailure, ExpertFailure
from eef_framework.records import Trajectory
from eef_framework.rollout import ScriptedExpert, continuations, demonstrations, expert_id
from eef_framework.rollout.scripted import AT_ONCE
from eef_framework.testing.corridor import Corridor, best_action


class Guide(ScriptedExpert):
    name: ClassVar[str] = "guide"
    patience: int = 100

    def script(self, session, draw):
        for _ in range(self.patience):
            draw.random()
            yield best_action(session.observation.text)


class Slow(Corridor):
    """Steps in threads, and counts how many episodes are open at once."""

    blocking: ClassVar[bool] = True
    threads: ClassVar[set[str]] = set()

    def open(self, task):
        self.threads.add(threading.current_thread().name)
        return super().open(task)


class Flaky(Corridor):
    def open(self, task):
        if task.id.endswith("1"):
            raise RuntimeError("no light")
        return super().open(task)


def demonstrate(expert, environment, count=6, seed=0):
    async def collect():
        return [row async for row in demonstrations(expert, environment, environment.tasks("train")[:count], seed)]

    return asyncio.run(collect())


def test_every_task_gets_a_trajectory_with_the_id_of_the_contract():
    rows = demonstrate(Guide(), Corridor())
    assert [row.id for row in rows] == [expert_id("guide", task) for task in Corridor().tasks("train")[:6]]
    assert {row.actor for row in rows} == {"expert/guide"}
    assert all(row.reward == 1.0 and row.ending == "terminated" for row in rows)


def test_a_script_that_ends_early_has_given_up():
    assert {(row.ending, len(row.steps)) for row in demonstrate(Guide(patience=1), Corridor())} == {("gave-up", 1)}
    assert {(row.ending, len(row.steps)) for row in demonstrate(Guide(patience=0), Corridor())} == {("gave-up", 0)}


class Anywhere(Guide):
    continues: ClassVar[bool] = True


def states_of(environment, *actions):
    """Return the states of an episode that took some actions."""
    task = environment.tasks("train")[1]
    with environment.open(task) as session:
        steps = tuple(session.step(action) for action in actions)
        episode = Trajectory(id="agent/1", task=task, actor="agent/x", initial=session.initial, steps=steps)
    return [episode.at(state) for state in range(len(steps) + 1)]


@pytest.mark.parametrize("environment", [Corridor(), Slow()], ids=["plain", "blocking"])
def test_a_script_that_looks_at_the_session_continues_from_any_state(environment):
    states = states_of(Corridor(), "go[east]", "go[west]", "go[west]")

    async def collect(steps):
        return [row async for row in continuations(Anywhere(), environment, states, 0, steps)]

    rows = {row.prefix_length: row for row in asyncio.run(collect(1))}
    assert sorted(rows) == [0, 1, 2, 3]
    assert len({row.id for row in rows.values()}) == 4
    for state in states:
        row = rows[state.length]
        assert row.steps[:-1] == state.steps
        assert row.actions[-1] == best_action(row.observation(state.length).text)
        assert (row.origin is None) == (state.length == 0)
        assert row.actor == "expert/guide"
    ends = asyncio.run(collect(None))
    assert {(row.reward, row.ending) for row in ends} == {(1.0, "terminated")}


def test_a_script_that_returns_text_is_refused():
    class Text(Guide):
        def script(self, session, draw):
            return "open[door]"

    with pytest.raises(ExpertFailure) as caught:
        demonstrate(Text(), Corridor())
    assert caught.value.code == "script-is-text"


@pytest.mark.parametrize("given", [3, None, ("go[east]",), b"go[east]"])
def test_an_action_that_is_not_text_is_a_failure_of_the_expert(given):
    class Numbers(Guide):
        def script(self, session, draw):
            while True:
                yield given

    with pytest.raises(ExpertFailure) as caught:
        demonstrate(Numbers(), Corridor())
    assert caught.value.code == "action-not-text"
    assert "'guide'" in caught.value.message
    assert repr(given) in caught.value.message


def test_a_script_that_returns_nothing_is_refused():
    class Nothing(Guide):
        def script(self, session, draw):
            return None

    with pytest.raises(ExpertFailure) as caught:
        demonstrate(Nothing(), Corridor())
    assert caught.value.code == "not-actions"


def test_a_script_for_whole_tasks_continues_nothing():
    async def collect():
        return [row async for row in continuations(Guide(), Corridor(), states_of(Corridor(), "go[east]"), 0)]

    with pytest.raises(ConfigError) as caught:
        asyncio.run(collect())
    assert caught.value.code == "expert-cannot-continue"


def test_a_continuation_that_was_not_asked_for_is_refused():
    class Elsewhere(Anywhere):
        async def continue_from(self, environment, states, seed, steps=None):
            async for row in super().continue_from(environment, states[:1], seed, steps):
                yield row
                yield row

    async def collect():
        return [row async for row in continuations(Elsewhere(), Corridor(), states_of(Corridor(), "go[east]"), 0, 1)]

    with pytest.raises(ExpertFailure) as caught:
        asyncio.run(collect())
    assert caught.value.code == "not-asked-for"


def test_a_state_without_a_continuation_is_an_error():
    class Silent(Anywhere):
        async def continue_from(self, environment, states, seed, steps=None):
            async for row in super().continue_from(environment, states[1:], seed, steps):
                yield row

    async def collect():
        return [row async for row in continuations(Silent(), Corridor(), states_of(Corridor(), "go[east]"), 0, 1)]

    with pytest.raises(ExpertFailure) as caught:
        asyncio.run(collect())
    assert (caught.value.code, caught.value.details["missing"]) == ("continuations-missing", 1)


def test_a_world_that_went_elsewhere_is_an_error_of_that_continuation_alone():
    states = states_of(Corridor(), "go[east]", "go[west]")
    wrong = states[1].steps[0].changed(observation=states[0].initial.changed(text="another world"))
    given = [states[0], states[1].changed(steps=(wrong,))]

    async def collect():
        return [row async for row in continuations(Anywhere(), Corridor(), given, 0, 1)]

    assert [(row.prefix_length, row.ending) for row in asyncio.run(collect())] == [(0, "step-limit"), (1, "error")]


def test_blocking_environments_are_played_in_threads_with_the_same_result():
    rows = demonstrate(Guide(), Slow(), count=20)
    assert sorted(rows, key=lambda row: row.id) == sorted(demonstrate(Guide(), Corridor(), 20), key=lambda row: row.id)
    assert threading.main_thread().name not in Slow.threads
    assert 1 <= len(Slow.threads) <= AT_ONCE


def test_a_failing_environment_costs_one_episode():
    rows = demonstrate(Guide(), Flaky())
    lost = [row for row in rows if row.ending == "error"]
    assert [row.task.id[-1] for row in lost] == ["1"]
    assert lost[0].error
    assert lost[0].steps == ()
    assert all(row.reward == 1.0 for row in rows if row not in lost)


def test_a_defect_of_the_script_is_not_the_environments():
    class Broken(Guide):
        def script(self, session, draw):
            yield "look"
            raise KeyError("lamp")

    with pytest.raises(KeyError):
        demonstrate(Broken(), Corridor())


def test_a_failure_in_the_middle_keeps_the_steps_until_then():
    class Trap(Corridor):
        def open(self, task):
            session = super().open(task)
            take = session.perform

            def step(action):
                if session.steps:
                    raise EnvironmentFailure("the floor gave way", "")
                return take(action)

            session.perform = step
            return session

    (row,) = demonstrate(Guide(), Trap(), count=1)
    assert (row.ending, len(row.steps), row.error) == ("error", 1, "the floor gave way")


def test_an_expert_declines_environments_that_it_does_not_play():
    class Picky(Guide):
        plays = Slow

    for asked in (Picky().preflight, lambda corridor: demonstrate(Picky(), corridor)):
        with pytest.raises(ConfigError) as caught:
            asked(Corridor())
        assert caught.value.code == "expert-misfit"
        assert caught.value.details["environment"] == "corridor"
    Picky().preflight()
    Picky().preflight(Slow())
    assert demonstrate(Picky(), Slow())
