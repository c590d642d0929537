import copy
import threading
from collections.abc import Callable

import pytest
from eef_sciworld._compat.py4j import JvmHung, JvmLost
from eef_sciworld.simulator import Setup, Simulator
from eef_sciworld.simulator_pool import MAX_ATTEMPTS, SimulatorPool
from eef_sciworld.state import EpisodeState, ViewOptions
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import EnvironmentFailure, ReplayDivergence


class Interface:
    """Stands in for ScienceWorld: answers with the task and everything that was done so far."""

    def __init__(self, jvm):
        self.jvm = jvm

    def load(self, task, variation, simplification, solve):
        self.done = [f"{task}-{variation}"]
        return ""

    def step(self, action):
        self.jvm.on_step(action)
        if self.jvm.dead:
            raise JvmLost("dead")
        self.done.append(action)
        return " ".join(self.done)

    def getScore(self):  # noqa: N802 - ScienceWorld's name
        return len(self.done) / 100

    def getCompleted(self):  # noqa: N802
        return False

    def getTaskDescription(self):  # noqa: N802
        return "do it"


class FakeJvm:
    def __init__(self, on_step: Callable[[str], None] = lambda action: None):
        self.dead = False
        self.on_step = on_step
        self.interfaces = 0

    def interface(self):
        if self.dead:
            raise JvmLost("dead")
        self.interfaces += 1
        return None, Interface(self)

    def kill(self):
        self.dead = True


class Machine:
    """Starts fake JVMs and remembers them."""

    def __init__(self, on_step: Callable[[str], None] = lambda action: None):
        self.on_step = on_step
        self.started: list[FakeJvm] = []

    def start(self):
        self.started.append(FakeJvm(self.on_step))
        return self.started[-1]


class Episode:
    """A state and the pool that it is played in."""

    def __init__(self, pool, variation=0, actions=False):
        self.pool = pool
        self.state = EpisodeState(Setup("task", variation, ""), ViewOptions(actions=actions))
        pool.run(self.state.begin, self.state)

    def step(self, action: str) -> str:
        return self.pool.run(lambda simulator: self.state.step(simulator, action), self.state).outcome.text

    def copy(self):
        twin = copy.copy(self)
        twin.state = self.state.copy()
        return twin

    def release(self):
        self.pool.release(self.state)


def expected(variation: int, *actions: str) -> str:
    return " ".join([f"task-{variation}", "look around", *actions])


@given(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), max_size=25))
def test_episodes_do_not_influence_each_other_however_few_simulators_there_are(count, turns):
    machine = Machine()
    pool = SimulatorPool(count, machine.start)
    episodes = [Episode(pool, number) for number in range(5)]
    done: list[list[str]] = [[] for _ in episodes]
    for number, action in turns:
        done[number].append(action)
        assert episodes[number].step(action) == expected(number, *done[number])
    assert machine.started[0].interfaces <= count


def test_with_enough_simulators_no_state_is_restored():
    pool = SimulatorPool(3, Machine().start)
    episodes = [Episode(pool, number) for number in range(3)]
    for _ in range(4):
        for each in episodes:
            each.step("a")
    assert pool.restored == 3


def test_a_released_simulator_is_used_by_the_next_episode():
    machine = Machine()
    pool = SimulatorPool(2, machine.start)
    kept = Episode(pool)
    for number in range(5):
        Episode(pool, number).release()
    kept.step("a")
    assert pool.restored == 6
    assert machine.started[0].interfaces == 2


def test_most_of_many_episodes_that_take_turns_keep_their_simulators():
    pool = SimulatorPool(8, Machine().start)
    episodes = [Episode(pool, number) for number in range(10)]
    before = pool.restored
    for _ in range(10):
        for each in episodes:
            each.step("a")
    assert pool.restored - before < 0.5 * 10 * 10


def test_restoring_a_state_repeats_the_effects_of_listing_actions(monkeypatch):
    monkeypatch.setattr(Simulator, "understood_actions", lambda simulator: (simulator._interface.step("listed"),))
    said = []
    for interrupted in (False, True):
        pool = SimulatorPool(1, Machine().start)
        listing = Episode(pool, actions=True)
        listing.step("a")
        if interrupted:
            Episode(pool, 1).step("b")  # takes the only simulator
            listing = listing.copy()
        said.append(listing.step("c"))
    assert said == [expected(0, "listed", "a", "listed", "c")] * 2


def test_a_copy_is_independent():
    pool = SimulatorPool(2, Machine().start)
    parent = Episode(pool)
    parent.step("a")
    fork = parent.copy()
    assert parent.step("b") == expected(0, "a", "b")
    assert fork.step("c") == expected(0, "a", "c")
    assert parent.step("d") == expected(0, "a", "b", "d")


def test_more_threads_than_simulators_all_finish():
    pool = SimulatorPool(2, Machine().start)
    texts: dict[int, str] = {}

    def play(number: int) -> None:
        mine = Episode(pool, number)
        for _ in range(5):
            texts[number] = mine.step("a")

    threads = [threading.Thread(target=play, args=(number,), daemon=True) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert texts == {number: expected(number, *"aaaaa") for number in range(12)}


def test_a_jvm_that_dies_is_replaced_and_every_state_is_restored():
    machine = Machine()
    pool = SimulatorPool(2, machine.start)
    episodes = [Episode(pool, number) for number in range(4)]
    for each in episodes:
        each.step("a")
    machine.started[0].dead = True
    for number, each in enumerate(episodes):
        assert each.step("b") == expected(number, "a", "b")
    assert pool.restarts == 1
    assert len(machine.started) == 2


def test_an_action_that_hangs_twice_is_a_failure_and_other_episodes_continue():
    def hang(action: str) -> None:
        if action == "hang":
            raise JvmHung("no answer")

    machine = Machine(hang)
    pool = SimulatorPool(2, machine.start)
    one, other = Episode(pool, 1), Episode(pool, 2)
    with pytest.raises(EnvironmentFailure) as caught:
        one.step("hang")
    assert (caught.value.code, caught.value.details["variation"]) == ("jvm-hung", 1)
    assert all(jvm.dead for jvm in machine.started)
    assert other.step("a") == expected(2, "a")
    assert one.step("b") == expected(1, "b")


def test_a_jvm_that_dies_repeatedly_is_a_failure():
    def die(action: str) -> None:
        if action == "die":
            raise JvmLost("gone")

    pool = SimulatorPool(1, Machine(die).start)
    with pytest.raises(EnvironmentFailure) as caught:
        Episode(pool).step("die")
    assert (caught.value.code, caught.value.details["losses"]) == ("jvm-died", MAX_ATTEMPTS)


def test_a_state_that_is_restored_differently_is_reported_and_not_continued():
    machine = Machine()
    pool = SimulatorPool(1, machine.start)
    one = Episode(pool, 1)
    one.step("a")
    Episode(pool, 2)  # takes the only simulator
    one.state._outcomes[1] = one.state._outcomes[1]._replace(text="something else")
    for _ in range(2):
        with pytest.raises(ReplayDivergence) as caught:
            one.step("b")
        assert caught.value.details["state"] == 1
    assert one.state.actions == ["a"]


def test_a_closed_pool_starts_no_further_jvm():
    machine = Machine()
    pool = SimulatorPool(1, machine.start)
    mine = Episode(pool)
    pool.close()
    pool.close()
    with pytest.raises(EnvironmentFailure) as caught:
        mine.step("a")
    assert caught.value.code == "closed"
    assert len(machine.started) == 1
    assert machine.started[0].dead
