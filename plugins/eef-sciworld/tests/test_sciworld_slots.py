import threading
from collections.abc import Callable

import pytest
from eef_sciworld.jvm import JvmHung, JvmLost
from eef_sciworld.simulator import Setup, Simulator
from eef_sciworld.slots import LOSSES, Slots
from eef_sciworld.world import Wanted, World
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


def world(slots: Slots, variation: int = 0) -> World:
    made = World(slots, Setup("task", variation, ""), Wanted())
    made.begin()
    return made


def expected(variation: int, *actions: str) -> str:
    return " ".join([f"task-{variation}", "look around", *actions])


@given(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), max_size=25))
def test_worlds_are_undisturbed_by_one_another_however_few_simulators_there_are(count, turns):
    machine = Machine()
    slots = Slots(count, machine.start)
    worlds = [world(slots, number) for number in range(5)]
    done: list[list[str]] = [[] for _ in worlds]
    for number, action in turns:
        done[number].append(action)
        assert worlds[number].step(action).outcome.text == expected(number, *done[number])
    assert machine.started[0].interfaces <= count


def test_with_enough_simulators_nothing_is_ever_brought_back():
    slots = Slots(3, Machine().start)
    worlds = [world(slots, number) for number in range(3)]
    for _ in range(4):
        for each in worlds:
            each.step("a")
    assert slots.rebuilt == 3


def test_a_world_that_is_over_leaves_its_simulator_to_the_next():
    machine = Machine()
    slots = Slots(2, machine.start)
    kept = world(slots)
    for number in range(5):
        world(slots, number).forget()
    kept.step("a")
    assert slots.rebuilt == 6
    assert machine.started[0].interfaces == 2


def test_most_of_many_worlds_that_take_turns_keep_their_simulators():
    slots = Slots(8, Machine().start)
    worlds = [world(slots, number) for number in range(10)]
    before = slots.rebuilt
    for _ in range(10):
        for each in worlds:
            each.step("a")
    assert slots.rebuilt - before < 0.5 * 10 * 10


def test_what_listing_actions_does_to_a_world_is_done_again_when_it_comes_back(monkeypatch):
    monkeypatch.setattr(Simulator, "understood_actions", lambda simulator: (simulator._interface.step("listed"),))
    said = []
    for interrupted in (False, True):
        slots = Slots(1, Machine().start)
        listing = World(slots, Setup("task", 0, ""), Wanted(actions=True))
        listing.begin()
        listing.step("a")
        if interrupted:
            world(slots, 1).step("b")  # takes the only simulator
            listing = listing.copy()
        said.append(listing.step("c").outcome.text)
    assert said == [expected(0, "listed", "a", "listed", "c")] * 2


def test_a_copy_goes_on_by_itself():
    slots = Slots(2, Machine().start)
    parent = world(slots)
    parent.step("a")
    copy = parent.copy()
    assert parent.step("b").outcome.text == expected(0, "a", "b")
    assert copy.step("c").outcome.text == expected(0, "a", "c")
    assert parent.step("d").outcome.text == expected(0, "a", "b", "d")


def test_more_threads_than_simulators_all_finish():
    slots = Slots(2, Machine().start)
    texts: dict[int, str] = {}

    def play(number: int) -> None:
        mine = world(slots, number)
        for _ in range(5):
            texts[number] = mine.step("a").outcome.text

    threads = [threading.Thread(target=play, args=(number,), daemon=True) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert texts == {number: expected(number, *"aaaaa") for number in range(12)}


def test_a_jvm_that_dies_is_replaced_and_every_world_comes_back():
    machine = Machine()
    slots = Slots(2, machine.start)
    worlds = [world(slots, number) for number in range(4)]
    for each in worlds:
        each.step("a")
    machine.started[0].dead = True
    for number, each in enumerate(worlds):
        assert each.step("b").outcome.text == expected(number, "a", "b")
    assert slots.restarts == 1
    assert len(machine.started) == 2


def test_an_action_that_hangs_twice_is_a_failure_and_the_others_go_on():
    def hang(action: str) -> None:
        if action == "hang":
            raise JvmHung("no answer")

    machine = Machine(hang)
    slots = Slots(2, machine.start)
    one, other = world(slots, 1), world(slots, 2)
    with pytest.raises(EnvironmentFailure) as caught:
        one.step("hang")
    assert (caught.value.code, caught.value.details["variation"]) == ("jvm-hung", 1)
    assert all(jvm.dead for jvm in machine.started)
    assert other.step("a").outcome.text == expected(2, "a")
    assert one.step("b").outcome.text == expected(1, "b")


def test_a_jvm_that_dies_again_and_again_is_a_failure():
    def die(action: str) -> None:
        if action == "die":
            raise JvmLost("gone")

    slots = Slots(1, Machine(die).start)
    with pytest.raises(EnvironmentFailure) as caught:
        world(slots).step("die")
    assert (caught.value.code, caught.value.details["losses"]) == ("jvm-died", LOSSES)


def test_a_world_that_comes_back_differently_is_reported_and_not_continued():
    machine = Machine()
    slots = Slots(1, machine.start)
    one = world(slots, 1)
    one.step("a")
    world(slots, 2)  # takes the only simulator
    one._outcomes[1] = one._outcomes[1]._replace(text="something else")
    for _ in range(2):
        with pytest.raises(ReplayDivergence) as caught:
            one.step("b")
        assert caught.value.details["state"] == 1
    assert one.actions == ["a"]


def test_closed_slots_start_no_further_jvm():
    machine = Machine()
    slots = Slots(1, machine.start)
    mine = world(slots)
    slots.close()
    slots.close()
    with pytest.raises(EnvironmentFailure) as caught:
        mine.step("a")
    assert caught.value.code == "closed"
    assert len(machine.started) == 1
    assert machine.started[0].dead
