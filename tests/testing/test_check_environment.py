"""Each rule is tested against an environment that breaks it in one line, with the report it gets."""

import itertools
import math
import os
import subprocess
import sys
import threading
import time
from typing import Any, ClassVar

import pytest

from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_framework.records import FreeText, Observation, Step, Task
from eef_framework.testing.conformance import Nonconformance, check_environment, environment_violations
from eef_framework.testing.conformance.cleanup import (
    FEWEST_CYCLES,
    closed_environments_open_nothing_broken,
    environments_close_for_themselves,
    sessions_leave_nothing_behind,
)
from eef_framework.testing.conformance.context import EnvironmentContext
from eef_framework.testing.conformance.episodes import steps_are_deterministic
from eef_framework.testing.conformance.processes import equal_in_another_process
from eef_framework.testing.conformance.replays import listed_actions_are_valid, prefixes_reach_their_state
from eef_framework.testing.corridor import BlockingCorridor, Corridor, CorridorSession
from eef_framework.testing.nondeterministic import HashOrder, Unbuildable

counter = itertools.count()


def report(environment: Corridor, **options: Any) -> str:
    violations = environment_violations(environment, **{"processes": False, "cycles": 10, **options})
    return "\n".join(map(str, violations))


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


@pytest.mark.slow
@pytest.mark.parametrize("copies", [True, False], ids=["copy", "replay"])
def test_the_corridor_keeps_its_contract(copies):
    check_environment(Corridor(copies=copies))


def test_without_tasks_nothing_else_is_checked():
    class Empty(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return []

    assert report(Empty()) == (
        "A split has tasks (split 'train')\n"
        "  expected: at least one task\n"
        "  actual:   none\n"
        "  fix:      Return the split's tasks from tasks(split), or check another split."
    )


@pytest.mark.slow
def test_a_task_of_another_environment_is_told():
    class Mislabelled(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return [task.changed(split="train") for task in super().tasks(split)]

    assert report(Mislabelled(), split="test") == (
        "A task names its environment and its split (task 'corridor-test-000')\n"
        "  expected: environment 'corridor', split 'test'\n"
        "  actual:   environment 'corridor', split 'train'\n"
        "  fix:      Set `environment` and `split` of every Task."
    )


@pytest.mark.slow
def test_a_split_that_changes_its_order_is_told():
    class Shuffled(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return list(super().tasks(split))[:: -1 if next(counter) % 2 else 1]

    assert report(Shuffled()) == (
        "A split always has the same tasks in the same order (split 'train')\n"
        "  expected: 30 tasks, the same at the second call\n"
        "  actual:   30 tasks, other ones or in another order\n"
        "  fix:      Sort files and sets before use, seed generators with a constant, or make the list once."
    )


@pytest.mark.slow
def test_a_split_that_changes_its_tasks_is_told():
    class Drifting(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return [task.changed(kind=f"short {next(counter)}") for task in super().tasks(split)]

    assert "  actual:   30 tasks, with other contents\n" in report(Drifting())


@pytest.mark.slow
def test_splits_that_share_a_task_are_told():
    class Leaking(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return [task.changed(id=task.id.replace(split, "any")) for task in super().tasks(split)]

    assert report(Leaking()) == (
        "A task's id is unique within its environment, so splits are disjoint (task 'corridor-any-000')\n"
        "  expected: one task with this id\n"
        "  actual:   1 in 'train', 1 in 'dev', 1 in 'test'\n"
        "  fix:      Give every task an id of its own, and every task to one split."
    )


@pytest.mark.slow
def test_an_environment_may_lack_a_split():
    class TrainOnly(Corridor):
        def tasks(self, split: str) -> list[Task]:
            if split != "train":
                raise ConfigError(f"no split {split!r}")
            return list(super().tasks(split))

    assert report(TrainOnly()) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "actual"), [(lambda: [], "0 tasks"), (lambda: {}["x"], "KeyError: 'x'")], ids=["empty", "KeyError"]
)
def test_an_unknown_split_that_is_not_refused_is_told(answer, actual):
    class Obliging(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return list(super().tasks(split)) if split in ("train", "dev", "test") else answer()

    assert report(Obliging()) == (
        "A split that doesn't exist is refused with ConfigError (split 'no-such-split')\n"
        "  expected: ConfigError\n"
        f"  actual:   {actual}\n"
        "  fix:      Raise eef_framework.errors.ConfigError and name the splits there are."
    )


@pytest.mark.slow
def test_a_task_that_does_not_survive_the_disk_is_told():
    made: list[Task] = []

    class Attached(Corridor):
        """Looks at which object the task is, not at what it says."""

        def tasks(self, split: str) -> list[Task]:
            made.extend(super().tasks(split) if split == "train" and not made else ())
            return made if split == "train" else list(super().tasks(split))

        def open(self, task: Task) -> CorridorSession:
            known = any(task is other for other in made)
            return super().open(task if known else task.changed(info={"start": 0, "door": 3, "key": -1}))

    assert report(Attached()) == (
        "A task that was written and read back opens the same episode (task 'corridor-train-000')\n"
        "  expected: 'door: 1 east\\nkey: not needed'\n"
        "  actual:   'door: 3 east\\nkey: not needed\\nexit: 1 west'\n"
        "  fix:      Open a task by its id and `info` alone, and keep only JSON values in `info`."
    )


@pytest.mark.slow
def test_a_first_observation_that_varies_is_told():
    class Varied(CorridorSession):
        def _look(self, *arguments: Any, **keywords: Any) -> Observation:
            return (
                super()._look(*arguments, **keywords).changed(text=f"visit {next(counter)}" if not arguments else "x")
            )

    text = report(corridor_of(Varied))
    assert (
        "The same task always has the same first observation (task 'corridor-train-000')\n  expected: 'visit " in text
    )
    assert "Let everything depend on task and actions alone" in text


@pytest.mark.slow
def test_first_observations_that_list_other_actions_are_told():
    class Varied(CorridorSession):
        def _look(self, number: int = 0, over: bool = False) -> Observation:
            seen = super()._look(number, over)
            return seen if number else seen.changed(actions=("go[west]",) * (1 + next(counter) % 2))

    assert "actions ('go[west]', 'go[west]')" in report(corridor_of(Varied))


@pytest.mark.slow
def test_what_rests_on_determinism_is_not_checked_without_it():
    (violation,) = environment_violations(Corridor(fault="diverge", copies=False))
    assert violation.rule == "The same actions always lead to the same observations and rewards"


def test_steps_that_vary_are_told():
    violation = steps_are_deterministic(EnvironmentContext(Corridor(fault="diverge", fault_step=2)))
    assert str(violation) == (
        "The same actions always lead to the same observations and rewards "
        "(task 'corridor-train-000', state 2, after 'go[east]')\n"
        "  expected: observation.text 'door: 1 west\\nkey: not needed\\necho: 0'\n"
        "  actual:   observation.text 'door: 1 west\\nkey: not needed\\necho: 1'\n"
        "  fix:      Let everything depend on task and actions alone: seed by the task, sort sets and folders."
    )


@pytest.mark.slow
def test_a_reward_that_varies_is_told():
    class Generous(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(reward=float(next(counter)))

    assert "  expected: reward " in report(corridor_of(Generous))


def test_a_prefix_that_leads_elsewhere_the_second_time_is_told():
    violation = prefixes_reach_their_state(EnvironmentContext(Corridor(fault="diverge", fault_step=3)))
    assert str(violation) == (
        "Replaying a prefix of actions reaches an equal state, whatever was played in between "
        "(task 'corridor-train-000', state 3, after 'go[west]')\n"
        "  expected: observation.text 'door: here\\nkey: not needed\\necho: 0'\n"
        "  actual:   observation.text 'door: here\\nkey: not needed\\necho: 1'\n"
        "  fix:      Let everything depend on task and actions alone: seed by the task, sort sets and folders."
    )


@pytest.mark.slow
def test_sessions_that_share_state_are_told():
    class Shared(CorridorSession):
        latest: "Shared"

        def __init__(self, environment: Corridor, task: Task) -> None:
            super().__init__(environment, task)
            Shared.latest = self

        def perform(self, action: str) -> Step:
            return super().perform(action if Shared.latest is self else "stumble")

    text = report(corridor_of(Shared, copies=False))
    assert "Sessions that are open at once don't disturb one another (task 'corridor-train-000', state 1, after" in text
    assert "Keep what an episode changes in its session" in text


@pytest.mark.slow
def test_a_fork_that_is_the_session_itself_is_told():
    class Same(CorridorSession):
        def duplicate(self) -> "Same":
            return self

    assert (
        "A fork is in the state that its parent is in, and goes on as a replay would "
        "(task 'corridor-train-000', state 3)\n"
        "  expected: another session that shows 'door: here\\nkey: not needed'\n"
        "  actual:   the session itself\n"
        "  fix:      Return a copy of the session from duplicate(), or None to let replay do it."
    ) in report(corridor_of(Same))


@pytest.mark.slow
def test_a_fork_in_another_state_is_told():
    class Forgetful(CorridorSession):
        def duplicate(self) -> CorridorSession:
            return CorridorSession(self.environment, self.task)

    assert "A fork is in the state that its parent is in, and goes on as a replay would" in report(
        corridor_of(Forgetful)
    )
    assert "Let duplicate() copy everything that changes during an episode" in report(corridor_of(Forgetful))


@pytest.mark.slow
def test_a_fork_that_changes_its_parent_is_told():
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

    text = report(corridor_of(Entangled))
    assert "What happens in a fork doesn't change its parent (task 'corridor-train-007', state 7, after" in text
    assert "Let duplicate() copy lists, sets and dicts, not just refer to them." in text


@pytest.mark.slow
def test_an_end_that_is_not_final_is_told():
    class Endless(CorridorSession):
        done = False

    assert (
        "An episode that has ended takes no further action (task 'corridor-train-000', after its last action)\n"
        "  expected: EnvironmentFailure\n"
    ) in report(corridor_of(Endless, max_steps=5))


@pytest.mark.slow
def test_an_episode_without_an_end_is_left_to_the_runs_limit():
    assert report(Corridor(max_steps=1000)) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "action",
    ["", "x" * 100_000, "naïve 猫 🦉 \u202e", "[", "\x00"],
    ids=["empty", "huge", "unicode", "bracket", "zero"],
)
def test_an_action_that_raises_is_told(action):
    class Strict(CorridorSession):
        def perform(self, given: str) -> Step:
            if given == action:
                raise EnvironmentFailure("can't do that")
            return super().perform(given)

    text = report(corridor_of(Strict))
    assert text.startswith("Any string is an action: one that makes no sense has valid=False and doesn't raise (task ")
    assert '  actual:   EnvironmentFailure: "can\'t do that"\n' in text


@pytest.mark.slow
def test_nonsense_that_passes_for_understood_is_told():
    class Agreeable(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(valid=True)

    assert report(corridor_of(Agreeable)) == (
        "Any string is an action: one that makes no sense has valid=False and doesn't raise "
        "(task 'corridor-train-000', action '')\n"
        "  expected: a step with this action and valid=False\n"
        "  actual:   a step with valid=True\n"
        "  fix:      Return Step(action=action, observation=..., valid=False) for whatever isn't understood."
    )


@pytest.mark.slow
def test_nonsense_may_be_free_text():
    class Talkative(CorridorSession):
        def _look(self, number: int = 0, over: bool = False) -> Observation:
            return super()._look(number, over).changed(free=(FreeText(prefix="", suffix=""),))

        def perform(self, action: str) -> Step:
            return super().perform(action).changed(valid=bool(action.strip()))

    assert report(corridor_of(Talkative)) == ""


@pytest.mark.slow
def test_a_step_that_rewrites_its_action_is_told():
    class Tidy(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(action=action.strip())

    assert "action ' ')\n" in report(corridor_of(Tidy))
    assert "  actual:   a step with action ''\n" in report(corridor_of(Tidy))


@pytest.mark.slow
@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_is_told(reward):
    class Boundless(CorridorSession):
        def perform(self, action: str) -> Step:
            return super().perform(action).changed(reward=reward)

    assert report(corridor_of(Boundless)) == (
        "Rewards are finite numbers (task 'corridor-train-000', step 1)\n"
        "  expected: a finite number\n"
        f"  actual:   {reward}\n"
        "  fix:      Give 0.0 where there is no reward."
    )


@pytest.mark.slow
def test_a_reward_of_the_episode_that_is_not_finite_is_told():
    class Boundless(CorridorSession):
        reward = math.nan

    assert "Rewards are finite numbers (task 'corridor-train-000', the episode)" in report(corridor_of(Boundless))


@pytest.mark.slow
@pytest.mark.parametrize("copies", [True, False], ids=["copy", "replay"])
def test_a_listed_action_that_is_not_understood_is_told(copies):
    class Promising(CorridorSession):
        def _look(self, number: int = 0, over: bool = False) -> Observation:
            seen = super()._look(number, over)
            return seen.changed(actions=(*seen.actions, "fly[home]"))

    assert report(corridor_of(Promising, copies=copies)) == (
        "An action that an observation lists is understood (task 'corridor-train-000', state 0)\n"
        "  expected: 'fly[home]' is understood\n"
        "  actual:   valid=False\n"
        "  fix:      List only actions that can be carried out, spelt as step() takes them."
    )


def test_a_session_that_fails_to_close_is_told_once_with_the_line():
    class Sticky(CorridorSession):
        def release(self) -> None:
            raise RuntimeError("stuck")

    (violation,) = environment_violations(corridor_of(Sticky), processes=False)
    assert "test_check_environment.py, line" in violation.where
    assert violation.actual == "RuntimeError: stuck"


@pytest.mark.slow
def test_threads_that_outlive_their_session_are_told():
    stop = threading.Event()

    class Leaking(CorridorSession):
        def __init__(self, environment: Corridor, task: Task) -> None:
            super().__init__(environment, task)
            threading.Thread(target=stop.wait, daemon=True).start()

    try:
        assert (
            "A closed session leaves no thread, process, file or memory behind (task 'corridor-train-000')\n"
            "  expected: no more of anything after 100 sessions were opened and closed\n"
            "  actual:   100 new threads\n"
            "  fix:      End in release() what the session started, close its files, and keep no list of sessions."
        ) in report(corridor_of(Leaking, copies=True), tasks=1, steps=2, cycles=100)
    finally:
        stop.set()


@pytest.fixture
def held():
    """A list to leave things behind in; they are closed at the end."""
    things: list[Any] = []
    yield things
    for thing in things:
        getattr(thing, "kill", getattr(thing, "close", lambda: None))()


LEAKS = {
    "open files": lambda: open(os.devnull, encoding="ascii"),  # noqa: SIM115
    "processes": lambda: subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE),
    "MB more memory": lambda: bytearray(os.urandom(1 << 20)),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted(LEAKS))
def test_what_sessions_leave_behind_is_told(what, held):
    class Leaking(CorridorSession):
        def release(self) -> None:
            held.append(LEAKS[what]())

    text = report(corridor_of(Leaking), tasks=1, steps=2, cycles=12 if what == "processes" else 40)
    assert text.startswith("A closed session leaves no thread, process, file or memory behind")
    assert what in text


@pytest.mark.slow
def test_memory_that_sessions_leave_behind_is_told_where_plenty_was_free_before(held, holes):
    class Leaking(CorridorSession):
        def release(self) -> None:
            held.append(LEAKS["MB more memory"]())

    assert "MB more memory" in report(corridor_of(Leaking), tasks=1, steps=2, cycles=40)


@pytest.mark.slow
def test_sessions_that_are_kept_are_told(held):
    class Kept(CorridorSession):
        def release(self) -> None:
            held.append(self)

    assert "  actual:   10 new sessions in memory\n" in report(corridor_of(Kept), tasks=1)


@pytest.mark.slow
def test_where_sessions_take_long_to_open_fewer_of_them_are():
    opened = []

    class Counting(CorridorSession):
        def __init__(self, environment: Corridor, task: Task) -> None:
            opened.append(task)
            super().__init__(environment, task)

    context = EnvironmentContext(corridor_of(Counting, copies=False), cycles=1000, patience_s=0.0)
    assert sessions_leave_nothing_behind(context) is None
    assert len(opened) == FEWEST_CYCLES + 2
    opened.clear()
    assert listed_actions_are_valid(context) is None
    assert len(opened) < 3 * context.count


@pytest.mark.slow
def test_an_end_that_is_both_is_told():
    class Both(CorridorSession):
        def perform(self, action: str) -> Step:
            step = super().perform(action)
            return step.changed(truncated=step.done)

    text = report(corridor_of(Both))
    assert text.startswith(
        "An episode ends by its task (terminated) or by the environment's step limit (truncated), not by both "
        "(task 'corridor-train-"
    )
    assert "  expected: terminated=True, or truncated=True\n  actual:   both\n" in text


@pytest.mark.slow
def test_a_closed_session_that_goes_on_is_told():
    class Undead(CorridorSession):
        closed = property(lambda self: False, lambda self, value: None)

    text = report(corridor_of(Undead))
    assert (
        "A closed session takes no action and can't be forked (task 'corridor-train-000', step('x') after close())\n"
        "  expected: EnvironmentFailure\n  actual:   it returned a Step\n"
    ) in text


@pytest.mark.slow
def test_sessions_of_one_task_that_share_their_state_are_told():
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
    assert "Sessions that are open at once don't disturb one another" in report(Broken(copies=False))


def test_sessions_that_mix_in_threads_only_are_told():
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
    text = report(Broken())
    assert text.startswith("Sessions that threads step at once (where the environment is blocking) don't disturb")
    assert "Guard what sessions share with a lock." in text


def test_an_environment_whose_sessions_are_stepped_in_threads_keeps_its_contract():
    check_environment(BlockingCorridor(), processes=False, cycles=10)


def test_closing_one_environment_must_not_close_another():
    violation = environments_close_for_themselves(EnvironmentContext(Fused()))
    assert str(violation) == (
        "An environment can be closed twice, and closing one doesn't disturb another "
        "(task 'corridor-train-000', state 1, after 'go[east]')\n"
        "  expected: observation.text 'door: here\\nkey: not needed'\n"
        "  actual:   observation.text 'door: 1 east\\nkey: not needed'\n"
        "  fix:      Release in close() what belongs to this environment alone, or count who uses it."
    )


@pytest.mark.slow
def test_an_environment_that_fails_to_close_again_is_told():
    class Once(Corridor):
        def close(self) -> None:
            if getattr(self, "rooms", 0) == 0:
                raise RuntimeError("closed already")
            self.rooms = 0

    assert "RuntimeError: closed already" in "\n".join(map(str, environment_violations(Once(), cycles=10)))


@pytest.mark.parametrize("error", [None, AttributeError("no pipe"), EnvironmentFailure("closed")])
def test_a_closed_environment_opens_as_before_or_refuses(error):
    class Closing(Corridor):
        def close(self) -> None:
            self.rooms = 4

        def open(self, task: Task) -> CorridorSession:
            if self.rooms == 4 and error:
                raise error
            return super().open(task)

    violation = closed_environments_open_nothing_broken(EnvironmentContext(Closing(rooms=9)))
    if isinstance(error, AttributeError):
        assert (violation.expected, violation.actual) == ("EnvironmentFailure", "AttributeError: 'no pipe'")
    elif error is None:
        assert "Let open() start again all that close() released." in str(violation)
    else:
        assert violation is None


@pytest.mark.slow
def test_what_depends_on_the_order_of_a_set_shows_in_another_process():
    assert report(HashOrder()) == ""
    text = report(HashOrder(), processes=True)
    assert text.startswith(
        "The same task and the same actions lead to the same observations in another process "
        "(task 'corridor-train-000', state 0)\n  expected: observation "
    )
    assert "Sort sets before use, and use no hash() or id()" in text


@pytest.mark.slow
def test_an_environment_that_its_settings_do_not_rebuild_is_told():
    text = report(Unbuildable(secret="open sesame"), processes=True)
    assert "  actual:   'RuntimeError: closed sesame'\n" in text
    assert "An environment has to be built again from its settings alone." in text


def test_an_environment_that_another_process_can_not_import_is_not_compared():
    class Local(Corridor):
        pass

    assert equal_in_another_process(EnvironmentContext(Local())) is None


def test_a_failing_check_raises_a_numbered_report():
    with pytest.raises(Nonconformance) as caught:
        check_environment(Corridor(fault="raise"), processes=False)
    first, second = caught.value.violations
    assert caught.value.message == (
        f"environment 'corridor' breaks 2 of the rules of its contract\n1. {first}\n2. {second}"
    )


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
