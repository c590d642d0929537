"""Each rule is tested against an environment that breaks it in one line."""

import itertools
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_framework.records import FreeText, Observation, Step, Task, Tool
from eef_framework.testing.conformance import Nonconformance, Violation, check_environment, environment_violations
from eef_framework.testing.conformance.cleanup import (
    FEWEST_CYCLES,
    closed_environments_open_nothing_broken,
    environments_close_for_themselves,
    sessions_leave_nothing_open,
)
from eef_framework.testing.conformance.context import EnvironmentContext, observation_difference
from eef_framework.testing.conformance.episodes import steps_are_deterministic
from eef_framework.testing.conformance.processes import equal_in_another_process
from eef_framework.testing.conformance.replays import listed_actions_are_valid, prefixes_reach_their_state
from eef_framework.testing.corridor import BlockingCorridor, Corridor, CorridorSession
from eef_framework.testing.nondeterministic import HashOrder, Unbuildable

counter = itertools.count()


def violations(environment: Corridor, **options: Any) -> list[Violation]:
    return environment_violations(environment, **{"processes": False, "cycles": 10, **options})


def violation(code: str, environment: Corridor, **options: Any) -> Violation:
    """Return the violation with this code."""
    (found,) = (each for each in violations(environment, **options) if each.code == code)
    return found


class Fused(Corridor):
    """All of them go dark when one is closed."""

    dark: ClassVar[bool] = False

    def open(self, task: Task) -> CorridorSession:
        Fused.dark = False
        return FusedSession(self, task)

    def close(self) -> None:
        Fused.dark = True


class FusedSession(CorridorSession):
    def perform(self, action: str) -> Step:
        return super().perform("stumble" if Fused.dark else action).changed(action=action)


def corridor_of(session: type[CorridorSession], **settings: Any) -> Corridor:
    class Broken(Corridor):
        def open(self, task: Task) -> CorridorSession:
            return session(self, task)

    return Broken(**settings)


class Endless(Corridor):
    """Its episodes have no limit."""

    @property
    def longest_episode(self) -> int | None:
        return None

    def open(self, task: Task) -> CorridorSession:
        return EndlessSession(self, task)


class EndlessSession(CorridorSession):
    def perform(self, action: str) -> Step:
        return super().perform(action).changed(terminated=False, truncated=False)


def test_episodes_without_end_and_limit_are_found() -> None:
    assert violation("episodes-end", Endless()).expected.startswith("an end within")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_allows_no_action_is_found(limit: int) -> None:
    class Short(Corridor):
        @property
        def longest_episode(self) -> int | None:
            return limit

    assert violation("episodes-end", Short()).actual.endswith(str(limit))


@pytest.mark.slow
@pytest.mark.parametrize("copies", [True, False], ids=["copy", "replay"])
def test_the_corridor_keeps_its_contract(copies):
    check_environment(Corridor(copies=copies))


def test_without_tasks_nothing_else_is_checked():
    class Empty(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return []

    (found,) = violations(Empty())
    assert (found.code, found.where) == ("tasks-exist", "split 'train'")


@pytest.mark.slow
def test_a_task_of_another_environment_is_reported():
    class Mislabelled(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return [task.changed(split="train") for task in super().tasks(split)]

    (found,) = violations(Mislabelled(), split="test")
    assert (found.code, found.where) == ("tasks-say-where-they-belong", "task 'corridor-test-000'")
    assert found.expected == "environment 'corridor', split 'test'"
    assert found.actual == "environment 'corridor', split 'train'"


class Shuffled(Corridor):
    def tasks(self, split: str) -> list[Task]:
        return list(super().tasks(split))[:: -1 if next(counter) % 2 else 1]


@pytest.mark.slow
def test_a_split_that_changes_its_order_is_reported():
    (found,) = violations(Shuffled())
    assert (found.code, found.where) == ("splits-are-stable", "split 'train'")


@pytest.mark.slow
def test_a_split_that_changes_its_tasks_is_reported():
    class Drifting(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return [task.changed(kind=f"short {next(counter)}") for task in super().tasks(split)]

    found = violation("splits-are-stable", Drifting())
    assert found.actual != violation("splits-are-stable", Shuffled()).actual


@pytest.mark.slow
def test_splits_that_share_a_task_are_reported():
    class Leaking(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return [task.changed(id=task.id.replace(split, "any")) for task in super().tasks(split)]

    (found,) = violations(Leaking())
    assert (found.code, found.where) == ("ids-are-unique", "task 'corridor-any-000'")
    assert found.actual == "1 in 'train', 1 in 'dev', 1 in 'test'"


@pytest.mark.slow
def test_an_environment_may_lack_a_split():
    class TrainOnly(Corridor):
        def tasks(self, split: str) -> list[Task]:
            if split != "train":
                raise ConfigError(f"no split {split!r}")
            return list(super().tasks(split))

    assert violations(TrainOnly()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "actual"),
    [(lambda: [], "0 tasks"), (lambda: None, "None"), (lambda: {}["x"], "KeyError: 'x'")],
    ids=["empty", "None", "KeyError"],
)
def test_an_unknown_split_that_is_not_refused_is_reported(answer, actual):
    class Obliging(Corridor):
        def tasks(self, split: str) -> Any:
            return list(super().tasks(split)) if split in ("train", "dev", "test") else answer()

    (found,) = violations(Obliging())
    assert (found.code, found.expected, found.actual) == ("unknown-splits-are-refused", "ConfigError", actual)


@pytest.mark.slow
def test_a_task_that_does_not_survive_the_disk_is_reported():
    made: list[Task] = []

    class Attached(Corridor):
        """Looks at which object the task is, not at what it says."""

        def tasks(self, split: str) -> list[Task]:
            made.extend(super().tasks(split) if split == "train" and not made else ())
            return made if split == "train" else list(super().tasks(split))

        def open(self, task: Task) -> CorridorSession:
            known = any(task is other for other in made)
            return super().open(task if known else task.changed(info={"start": 0, "door": 3, "key": -1}))

    (found,) = violations(Attached())
    assert (found.code, found.where) == ("tasks-survive-the-disk", "task 'corridor-train-000'")
    assert found.expected == repr("door: 1 east\nkey: not needed")
    assert found.actual == repr("door: 3 east\nkey: not needed\nexit: 1 west")


@pytest.mark.slow
def test_a_first_observation_that_varies_is_reported():
    class Varied(CorridorSession):
        def _look(self, *arguments: Any, **keywords: Any) -> Observation:
            return (
                super()._look(*arguments, **keywords).changed(text=f"visit {next(counter)}" if not arguments else "x")
            )

    found = violation("first-observation-is-fixed", corridor_of(Varied))
    assert found.where == "task 'corridor-train-000', state 0"
    assert "visit" in found.expected


@pytest.mark.slow
def test_first_observations_that_list_other_actions_are_reported():
    class Varied(CorridorSession):
        def _look(self, number: int = 0, over: bool = False) -> Observation:
            seen = super()._look(number, over)
            return seen if number else seen.changed(actions=("go[west]",) * (1 + next(counter) % 2))

    found = violation("first-observation-is-fixed", corridor_of(Varied))
    listed, missing = (f"observation.actions, from index 1, {each}" for each in (["go[west]"], []))
    assert {found.expected, found.actual} == {listed, missing}


def test_the_difference_of_observations_is_shown_where_it_is():
    here = Observation(text="x" * 500 + "here", actions=("a", "b", "c"))
    there = here.changed(text="x" * 500 + "there")
    assert observation_difference(here, here) is None
    assert observation_difference(here, there) == ("observation.text", "x" * 40 + "here", "x" * 40 + "there")
    swapped = here.changed(actions=("a", "c", "b"))
    assert observation_difference(here, swapped) == ("observation.actions, from index 1,", ["b"], ["c"])
    assert observation_difference(here, here.changed(actions=None))[1:] == (("a", "b", "c"), None)


@pytest.mark.slow
def test_what_rests_on_determinism_is_not_checked_without_it():
    (found,) = environment_violations(Corridor(fault="diverge", copies=False))
    assert found.code == "steps-are-deterministic"


def test_episodes_that_end_at_random_are_told_as_not_deterministic():
    class Shortening(CorridorSession):
        """Ends an action earlier than the session before."""

        def __init__(self, environment: Corridor, task: Task) -> None:
            self.length = 6 - next(counter) % 5
            super().__init__(environment, task)

        def perform(self, action: str) -> Step:
            return super().perform(action).changed(terminated=len(self.steps) + 1 >= self.length)

    assert [each.code for each in violations(corridor_of(Shortening, copies=False))] == ["steps-are-deterministic"]


def test_steps_that_vary_are_reported():
    found = steps_are_deterministic(EnvironmentContext(Corridor(fault="diverge", fault_step=2)))
    assert found.where == "task 'corridor-train-000', state 2, after 'go[east]'"
    assert found.expected == r"observation.text 'door: 1 west\nkey: not needed\necho: 0'"
    assert found.actual == r"observation.text 'door: 1 west\nkey: not needed\necho: 1'"


@pytest.mark.slow
def test_a_reward_that_varies_is_reported():
    class Generous(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(reward=float(next(counter)))

    assert violation("steps-are-deterministic", corridor_of(Generous)).expected.startswith("reward ")


def test_a_prefix_that_leads_elsewhere_the_second_time_is_reported():
    found = prefixes_reach_their_state(EnvironmentContext(Corridor(fault="diverge", fault_step=3)))
    assert found.where == "task 'corridor-train-000', state 3, after 'go[west]'"
    assert found.expected == r"observation.text 'door: here\nkey: not needed\necho: 0'"
    assert found.actual == r"observation.text 'door: here\nkey: not needed\necho: 1'"


@pytest.mark.slow
def test_sessions_that_share_state_are_reported():
    class Shared(CorridorSession):
        latest: "Shared"

        def __init__(self, environment: Corridor, task: Task) -> None:
            super().__init__(environment, task)
            Shared.latest = self

        def perform(self, action: str) -> Step:
            return super().perform(action if Shared.latest is self else "stumble")

    found = violation("sessions-are-independent", corridor_of(Shared, copies=False))
    assert found.where.startswith("task 'corridor-train-000', state 1")


@pytest.mark.slow
def test_a_fork_that_is_the_session_itself_is_reported():
    class Same(CorridorSession):
        def duplicate(self) -> "Same":
            return self

    assert violation("forks-equal-replays", corridor_of(Same)).where == "task 'corridor-train-000', state 3"


@pytest.mark.slow
def test_a_fork_in_another_state_is_reported():
    class Forgetful(CorridorSession):
        def duplicate(self) -> CorridorSession:
            return CorridorSession(self.environment, self.task)

    assert violation("forks-equal-replays", corridor_of(Forgetful))


@pytest.mark.slow
def test_a_fork_that_changes_its_parent_is_reported():
    class Entangled(CorridorSession):
        """Keeps its position in a list, which a shallow copy shares."""

        def __init__(self, environment: Corridor, task: Task) -> None:
            self._places: list[int] = [0]
            super().__init__(environment, task)

        @property
        def _position(self) -> int:
            return self._places[0]

        @_position.setter
        def _position(self, room: int) -> None:
            self._places[0] = room

    found = violation("forks-leave-their-parent-alone", corridor_of(Entangled))
    assert found.where.startswith("task 'corridor-train-007', state 7")


@pytest.mark.slow
def test_an_end_that_is_not_final_is_reported():
    class Endless(CorridorSession):
        done = False

    assert violation("ends-are-final", corridor_of(Endless, max_steps=5)).expected == "EnvironmentFailure"


@pytest.mark.slow
def test_an_episode_without_an_end_is_left_to_the_runs_limit():
    assert violations(Corridor(max_steps=1000)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "action",
    ["", "x" * 100_000, "naïve 猫 🦉 \u202e", "[", "\x00"],
    ids=["empty", "huge", "unicode", "bracket", "zero"],
)
def test_an_action_that_raises_is_reported(action):
    class Strict(CorridorSession):
        def perform(self, given: str) -> Step:
            if given == action:
                raise EnvironmentFailure("can't do that")
            return super().perform(given)

    found = violations(corridor_of(Strict))[0]
    assert (found.code, found.actual) == ("odd-actions-are-survived", "EnvironmentFailure: can't do that")


@pytest.mark.slow
def test_nonsense_that_passes_for_understood_is_reported():
    class Agreeable(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(valid=True)

    (found,) = violations(corridor_of(Agreeable))
    assert (found.code, found.where) == ("odd-actions-are-survived", "task 'corridor-train-000', action ''")
    assert "valid=True" in found.actual


@pytest.mark.slow
def test_nonsense_may_be_free_text():
    class Talkative(CorridorSession):
        def _look(self, number: int = 0, over: bool = False) -> Observation:
            return super()._look(number, over).changed(free=(FreeText(prefix="", suffix=""),))

        def perform(self, action: str) -> Step:
            return super().perform(action).changed(valid=bool(action.strip()))

    assert violations(corridor_of(Talkative)) == []


@pytest.mark.slow
def test_a_step_that_rewrites_its_action_is_in_order_as_its_session_keeps_the_action_that_was_taken():
    class Tidy(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(action=action.strip())

    assert violations(corridor_of(Tidy)) == []


@pytest.mark.slow
@pytest.mark.parametrize("reward", [math.nan, math.inf, -1e308])
def test_a_reward_that_is_not_finite_is_reported(reward):
    class Boundless(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(reward=reward)

    (found,) = violations(corridor_of(Boundless))
    assert (found.code, found.where) == ("results-have-their-types", "task 'corridor-train-000'")
    assert str(reward) in found.actual


@pytest.mark.slow
def test_a_reward_of_the_episode_that_is_not_finite_is_reported():
    class Boundless(CorridorSession):
        reward = math.nan

    assert "nan" in violation("results-have-their-types", corridor_of(Boundless)).actual


@pytest.mark.slow
@pytest.mark.parametrize("copies", [True, False], ids=["copy", "replay"])
def test_a_listed_action_that_is_not_understood_is_reported(copies):
    class Promising(CorridorSession):
        def _look(self, number: int = 0, over: bool = False) -> Observation:
            seen = super()._look(number, over)
            return seen.changed(actions=(*seen.actions, "fly[home]"))

    (found,) = violations(corridor_of(Promising, copies=copies))
    assert (found.code, found.actual) == ("listed-actions-are-valid", "valid=False")
    assert found.where == "task 'corridor-train-000', state 0"
    assert "'fly[home]'" in found.expected


def corridor_with(*declared: Any) -> Corridor:
    class Declaring(Corridor):
        @property
        def tools(self) -> Sequence[Tool]:
            return declared

    return Declaring()


TAKE, OPEN = Tool(name="take", action="take[{thing}]"), Tool(name="open", action="open[{thing}]")


def test_tools_that_take_all_actions_are_in_order():
    assert violations(corridor_with(Tool(name="go", action="go[{direction}]"), TAKE, OPEN)) == []


def test_an_action_that_no_tool_takes_is_reported():
    found = violation("tools-take-the-actions", corridor_with(Tool(name="go", action="go {direction}"), TAKE, OPEN))
    assert found.where in ("action 'go[west]'", "action 'go[east]'")


@pytest.mark.parametrize("tools", [("go",), (TAKE, TAKE), ({"name": "go", "parameters": {"type": "string"}},)])
def test_tools_that_are_none_are_reported(tools):
    assert "declares tools that can't be used" in violation("tools-take-the-actions", corridor_with(*tools)).actual


def test_a_session_that_fails_to_close_is_reported_once_with_the_line():
    class Sticky(CorridorSession):
        def release(self) -> None:
            raise RuntimeError("stuck")

    (found,) = environment_violations(corridor_of(Sticky), processes=False)
    assert "test_check_environment.py, line" in found.where
    assert found.actual == "RuntimeError: stuck"


@pytest.mark.slow
def test_threads_that_outlive_their_session_are_reported():
    stop = threading.Event()

    class Leaking(CorridorSession):
        def __init__(self, environment: Corridor, task: Task) -> None:
            super().__init__(environment, task)
            threading.Thread(target=stop.wait, daemon=True).start()

    try:
        found = violation(LEFT, corridor_of(Leaking, copies=True), tasks=1, steps=2, cycles=100)
        assert "100" in found.expected
        assert found.actual == "100 new threads"
    finally:
        stop.set()


@pytest.fixture
def held():
    """A list for leaked objects, which are closed at the end."""
    things: list[Any] = []
    yield things
    for thing in things:
        getattr(thing, "kill", getattr(thing, "close", lambda: None))()


LEFT = "sessions-leave-nothing-open"
LEAKS = {
    "open files": lambda: open(os.devnull, encoding="ascii"),  # noqa: SIM115
    "processes": lambda: subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE),
    "MB more memory": lambda: bytearray(os.urandom(1 << 20)),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted(LEAKS))
def test_what_sessions_leave_behind_is_reported(what, held):
    class Leaking(CorridorSession):
        def release(self) -> None:
            held.append(LEAKS[what]())

    assert (
        what in violation(LEFT, corridor_of(Leaking), tasks=1, steps=2, cycles=12 if what == "processes" else 40).actual
    )


@pytest.mark.slow
def test_memory_that_sessions_leave_behind_is_reported_where_plenty_was_free_before(held, holes):
    class Leaking(CorridorSession):
        def release(self) -> None:
            held.append(LEAKS["MB more memory"]())

    assert "MB more memory" in violation(LEFT, corridor_of(Leaking), tasks=1, steps=2, cycles=40).actual


@pytest.mark.slow
def test_sessions_that_are_kept_are_reported(held):
    class Kept(CorridorSession):
        def release(self) -> None:
            held.append(self)

    assert violation(LEFT, corridor_of(Kept), tasks=1).actual == "10 new sessions in memory"


@pytest.mark.slow
def test_where_sessions_take_long_to_open_fewer_of_them_are():
    opened = []

    class Counting(CorridorSession):
        def __init__(self, environment: Corridor, task: Task) -> None:
            opened.append(task)
            super().__init__(environment, task)

    context = EnvironmentContext(corridor_of(Counting, copies=False), cycles=1000, patience_s=0.0)
    assert sessions_leave_nothing_open(context) is None
    assert len(opened) == FEWEST_CYCLES + 2
    opened.clear()
    assert listed_actions_are_valid(context) is None
    assert len(opened) < 3 * context.count


@pytest.mark.slow
def test_an_end_that_is_both_is_reported():
    class Both(CorridorSession):
        def perform(self, action: str) -> Step:
            step = super().perform(action)
            return step.changed(truncated=step.done)

    assert violations(corridor_of(Both))[0].code == "ends-are-told-apart"


@pytest.mark.slow
def test_a_closed_session_that_goes_on_is_reported():
    class Undead(CorridorSession):
        closed = property(lambda self: False, lambda self, value: None)

    found = violation("closed-sessions-are-out-of-use", corridor_of(Undead))
    assert (found.expected, found.where) == (
        "EnvironmentFailure",
        "task 'corridor-train-000', step('x') after close()",
    )


@pytest.mark.slow
def test_sessions_of_one_task_that_share_their_state_are_reported():
    class Shared(CorridorSession):
        """Keeps what happens in the environment, under the task's id."""

        def __init__(self, environment: Corridor, task: Task) -> None:
            rooms[task.id] = []
            super().__init__(environment, task)

        @property
        def _position(self) -> int:
            return rooms[self.task.id][-1]

        @_position.setter
        def _position(self, room: int) -> None:
            rooms.setdefault(self._id, []).append(room)

    class Broken(Corridor):
        def open(self, task: Task) -> CorridorSession:
            Shared._id = task.id
            session = Shared.__new__(Shared)
            session.task = task
            session.__init__(self, task)
            return session

    rooms: dict[str, list[int]] = {}
    assert violation("sessions-are-independent", Broken(copies=False))


def test_sessions_that_mix_in_threads_only_are_reported():
    class Racing(CorridorSession):
        """Hands its action over in a place that all sessions share."""

        def perform(self, action: str) -> Step:
            desk["action"] = action
            time.sleep(0.001)
            return super().perform(desk["action"]).changed(action=action)

    class Broken(BlockingCorridor):
        def open(self, task: Task) -> CorridorSession:
            return Racing(self, task)

    desk: dict[str, str] = {}
    assert [found.code for found in violations(Broken())] == ["sessions-are-independent-in-threads"]


def test_an_environment_whose_sessions_are_stepped_in_threads_keeps_its_contract():
    check_environment(BlockingCorridor(), processes=False, cycles=10)


def test_closing_one_environment_must_not_close_another():
    found = environments_close_for_themselves(EnvironmentContext(Fused()))
    assert found.where == "task 'corridor-train-000', state 1, after 'go[east]'"
    assert found.expected == r"observation.text 'door: here\nkey: not needed'"
    assert found.actual == r"observation.text 'door: 1 east\nkey: not needed'"


@pytest.mark.slow
def test_an_environment_that_fails_to_close_again_is_reported():
    class Once(Corridor):
        def close(self) -> None:
            if getattr(self, "rooms", 0) == 0:
                raise RuntimeError("closed already")
            self.rooms = 0

    assert "RuntimeError: closed already" in [found.actual for found in environment_violations(Once(), cycles=10)]


@pytest.mark.parametrize("error", [None, AttributeError("no pipe"), EnvironmentFailure("closed")])
def test_a_closed_environment_opens_as_before_or_refuses(error):
    class Closing(Corridor):
        def close(self) -> None:
            self.rooms = 4

        def open(self, task: Task) -> CorridorSession:
            if self.rooms == 4 and error:
                raise error
            return super().open(task)

    found = closed_environments_open_nothing_broken(EnvironmentContext(Closing(rooms=9)))
    if isinstance(error, AttributeError):
        assert (found.expected, found.actual) == ("EnvironmentFailure", "AttributeError: 'no pipe'")
    elif error is None:
        assert found.where.startswith("task 'corridor-train-000', state ")
    else:
        assert found is None


@pytest.mark.slow
def test_what_depends_on_the_order_of_a_set_shows_in_another_process():
    assert violations(HashOrder()) == []
    found = violations(HashOrder(), processes=True)[0]
    assert (found.code, found.where) == ("equal-in-another-process", "task 'corridor-train-000', state 0")


class HashedTasks(Corridor):
    """Its tasks are drawn with hash(), which differs between processes."""

    def tasks(self, split: str) -> list[Task]:
        return [task.changed(fingerprint=str(hash((split, task.id)))) for task in super().tasks(split)]


@pytest.mark.slow
def test_tasks_that_differ_between_processes_are_reported():
    found = violations(HashedTasks(), processes=True)[0]
    assert (found.code, found.where) == ("equal-in-another-process", "the tasks of split 'train'")


@pytest.mark.slow
def test_an_environment_that_its_settings_do_not_rebuild_is_reported():
    found = violation("equal-in-another-process", Unbuildable(secret="open sesame"), processes=True)
    assert found.actual == "'RuntimeError: wrong secret'"


def test_an_environment_that_another_process_can_not_import_is_not_compared():
    class Local(Corridor):
        pass

    assert equal_in_another_process(EnvironmentContext(Local())) is None


def test_a_failing_check_raises_a_numbered_report():
    class OneSplit(Corridor):
        def tasks(self, split: str) -> Sequence[Task]:
            return super().tasks("train")

    with pytest.raises(Nonconformance) as caught:
        check_environment(OneSplit(), processes=False, cycles=10)
    first, second = caught.value.violations
    assert caught.value.message.startswith("environment 'corridor'")
    assert caught.value.message.endswith(f"\n1. {first}\n2. {second}")


@pytest.mark.slow
def test_actions_can_be_given_for_environments_that_list_none():
    class Silent(CorridorSession):
        def _look(self, number: int = 0, over: bool = False) -> Observation:
            return super()._look(number, over).changed(actions=None)

    environment = corridor_of(Silent)
    check_environment(environment, actions=("go[east]", "go[west]"), processes=False)
    context = EnvironmentContext(environment, extra=("go[east]", "go[west]"))
    walked = {step.action for task in context.tasks() for step in context.walk(task)}
    assert walked == {"go[east]", "go[west]"}


class Stepless(CorridorSession):
    def perform(self, action: str) -> Any:
        super().perform(action)


class Closed(Corridor):
    def open(self, task: Task) -> Any:
        return None


class SingleTask(Corridor):
    def tasks(self, split: str) -> Any:
        return super().tasks(split)[0]


class Returning(Corridor):
    """Lists what it is told to in one of its splits."""

    listed: Any = None
    where: str = "train"

    def tasks(self, split: str) -> Any:
        tasks = super().tasks(split)
        return tasks if split != self.where else self.listed(tasks) if callable(self.listed) else self.listed


@pytest.mark.parametrize("where", ["train", "dev"])
@pytest.mark.parametrize("listed", [None, 3, ["a"], "tasks", lambda tasks: (task for task in tasks)])
def test_what_is_not_a_list_of_tasks_is_reported_with_the_call(listed: Any, where: str) -> None:
    (found,) = violations(Returning(listed=listed, where=where))
    assert (found.code, found.where) == ("results-have-their-types", f"tasks({where!r})")
    assert found.expected == "a list of Tasks"


@pytest.mark.parametrize("said", [None, b"Go."])
def test_instructions_that_are_not_text_are_reported(said: object) -> None:
    class Saying(Corridor):
        @property
        def instructions(self) -> Any:
            return said

    (found,) = violations(Saying())
    assert (found.code, found.actual) == ("instructions-are-text", repr(said))


def test_results_of_another_type_are_reported_once_and_nothing_else_is():
    found = [violations(each) for each in (corridor_of(Stepless), Closed(), SingleTask(), Corridor(fault="raise"))]
    assert [[each.code for each in several] for several in found] == [["results-have-their-types"]] * 4
    assert [several[0].expected for several in found] == [
        "a Step from perform(), with a finite reward",
        "a Session from open()",
        "a list of Tasks",
        "no exception",
    ]
