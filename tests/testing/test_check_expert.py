"""Each rule is tested against an expert that breaks it in a line or two."""

import asyncio
import itertools
import random
from typing import Any, ClassVar

import pytest

from eef_framework.errors import EnvironmentFailure
from eef_framework.interfaces import Expert
from eef_framework.records import Observation, Response, Tool, Trajectory
from eef_framework.testing.conformance import Nonconformance, Violation, check_expert, expert_violations
from eef_framework.testing.corridor import BlockingCorridor, Corridor, best_action
from eef_framework.testing.corridor_expert import CorridorExpert

counter = itertools.count()


def violations(expert: Expert) -> list[Violation]:
    return expert_violations(expert, Corridor())


def violation(code: str, expert: Expert) -> Violation:
    """Return the violation with this code."""
    (found,) = (each for each in violations(expert) if each.code == code)
    return found


def changed(change: Any) -> CorridorExpert:
    """Return an expert whose demonstrations are changed before they are given."""

    class Changed(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in super().demonstrate(environment, tasks, seed):
                yield change(each)

    return Changed()


@pytest.mark.parametrize("environment", [Corridor(), BlockingCorridor(), Corridor(copies=False)])
@pytest.mark.parametrize("skill", [0.0, 0.65, 1.0])
def test_the_corridor_expert_keeps_its_contract(environment, skill):
    check_expert(CorridorExpert(skill=skill), environment)
    assert "open" not in vars(environment)


def test_an_expert_that_gives_up_keeps_its_contract():
    check_expert(CorridorExpert(max_steps=1), Corridor(), split="test", tasks=3)


@pytest.mark.parametrize(("given", "count"), [(lambda all_: all_[:-1], 0), (lambda all_: [*all_, all_[-1]], 2)])
def test_a_task_that_is_left_out_or_demonstrated_twice_is_reported(given, count):
    class Uneven(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            for each in given([each async for each in super().demonstrate(environment, tasks, seed)]):
                yield each

    (found,) = violations(Uneven())
    assert (found.code, found.where) == ("every-task-is-demonstrated-once", "task 'corridor-train-025'")
    assert found.actual == str(count)


def test_a_demonstration_that_is_lost_to_an_error_is_reported_alone():
    def change(each: Trajectory) -> Any:
        return each.changed(ending="error", error="no light") if each.task.id == "corridor-train-025" else each

    (found,) = violations(changed(change))
    assert (found.code, found.where) == ("no-demonstration-is-lost", "task 'corridor-train-025', state 1")
    assert found.actual.endswith("no light")


@pytest.mark.parametrize("given", [3, None, ("go[east]",)])
def test_a_script_whose_actions_are_not_text_is_reported(given):
    class Numbers(CorridorExpert):
        def script(self, session, draw):
            while True:
                yield given

    (found,) = violations(Numbers())
    assert found.actual.startswith("ExpertFailure")
    assert repr(given) in found.actual


def test_something_else_than_a_trajectory_is_reported():
    assert violation("every-task-is-demonstrated-once", changed(lambda each: each.actions))


def test_what_the_disk_changes_is_reported():
    listed = changed(lambda each: each.model_copy(update={"steps": list(each.steps)}))
    assert violation("demonstrations-survive-the-disk", listed)


def test_an_observation_that_was_not_there_is_reported():
    def change(each: Trajectory) -> Any:
        tidied = [step.changed(observation=Observation(text=step.observation.text.upper())) for step in each.steps]
        return each.changed(steps=tuple(tidied))

    found = violations(changed(change))[0]
    assert (found.code, found.where) == ("demonstrations-can-be-replayed", "task 'corridor-train-000'")


@pytest.mark.parametrize(
    ("change", "expected", "actual"),
    [
        ({"reward": 0.9}, "reward 1.0", "reward 0.9"),
        ({"ending": "gave-up"}, "ending 'terminated'", "ending 'gave-up'"),
        ({"ending": "truncated"}, "ending 'terminated'", "ending 'truncated'"),
    ],
)
def test_a_reward_or_an_ending_that_was_not_there_is_reported(change, expected, actual):
    found = violation("demonstrations-can-be-replayed", changed(lambda each: each.changed(**change)))
    assert (found.expected, found.actual) == (expected, actual)


def test_an_ending_that_was_never_reached_is_reported():
    class Boastful(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in CorridorExpert(max_steps=1).demonstrate(environment, tasks, seed):
                yield each.changed(ending="terminated")

        name: ClassVar[str] = "boastful"

    assert violation("demonstrations-can-be-replayed", Boastful()).actual == "ending 'terminated'"


def test_a_step_that_was_misread_is_reported():
    def change(each: Trajectory) -> Any:
        return each.changed(steps=tuple(step.changed(valid=False) for step in each.steps))

    found = violation("demonstrations-can-be-replayed", changed(change))
    assert (found.expected, found.actual) == ("step 1: valid True", "valid False")


def test_draws_that_do_not_come_from_the_seed_are_reported():
    class Moody(CorridorExpert):
        def script(self, session, draw):
            yield from super().script(session, random.Random(next(counter)))

    found = violations(Moody(skill=0.3))[0]
    assert found.code == "demonstrations-depend-on-seed-and-task-alone"
    assert found.where == "task 'corridor-train-000', demonstrated again"


def test_draws_that_depend_on_the_tasks_before_are_reported():
    class Chained(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            self._stream = random.Random(seed)
            async for each in super().demonstrate(environment, tasks, seed):
                yield each

        def script(self, session, draw):
            yield from super().script(session, self._stream)

        _stream: Any = None

    found = violation("demonstrations-depend-on-seed-and-task-alone", Chained(skill=0.3))
    assert found.where.endswith("in reverse")


def test_a_failure_that_ends_everything_is_reported():
    class Fragile(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in super().demonstrate(environment, tasks, seed):
                if each.ending == "error":
                    raise EnvironmentFailure(each.error)
                yield each

    found = violations(Fragile())[0]
    assert found.code == "failures-are-recorded"
    assert found.actual.startswith("EnvironmentFailure: environment 'corridor'")


def test_a_failure_that_is_left_out_is_reported():
    class Silent(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in super().demonstrate(environment, tasks, seed):
                if each.ending != "error":
                    yield each

    assert "'corridor-train-000'" in violation("failures-are-recorded", Silent()).actual


def test_a_failure_that_passes_for_an_episode_is_reported():
    hiding = changed(lambda each: each.changed(ending="gave-up") if each.ending == "error" else each)
    assert violation("failures-are-recorded", hiding).actual.startswith("ending 'gave-up'")


def test_a_recording_opens_nothing_and_so_can_not_fail():
    class Recording(Expert):
        """Gives what was recorded."""

        name: ClassVar[str] = "corridor-expert"

        async def demonstrate(self, environment, tasks, seed):
            for task in tasks:
                yield recorded[task.id]

    async def record():
        corridor = Corridor()
        return {each.task.id: each async for each in CorridorExpert().demonstrate(corridor, corridor.tasks("train"), 0)}

    recorded = asyncio.run(record())
    check_expert(Recording(), Corridor())


def test_seconds_and_caches_may_differ():
    def change(each: Trajectory) -> Any:
        response = Response(text="x", computed_tokens=next(counter))
        steps = tuple(step.changed(response=response) for step in each.steps)
        return each.changed(seconds=float(next(counter)), steps=steps)

    assert violations(changed(change)) == []


def test_violations_are_raised_together():
    with pytest.raises(Nonconformance) as caught:
        check_expert(changed(lambda each: each.changed(reward=0.9)), Corridor())
    assert [each.code for each in caught.value.violations] == ["demonstrations-can-be-replayed"]


def continuing(change: Any) -> CorridorExpert:
    """Return an expert whose continuations are changed before they are given."""

    class Continuing(CorridorExpert):
        async def continue_from(self, environment, states, seed, steps=None):
            given = super().continue_from(environment, states, seed, steps)
            for each in change([each async for each in given]):
                yield each

    return Continuing()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[1:],
        lambda rows: [*rows, rows[-1]],
        lambda rows: [row.changed(origin=None) for row in rows],
        lambda rows: [row.changed(steps=(*row.steps, row.steps[-1])) for row in rows],
        lambda rows: [row.changed(steps=row.steps[-1:]) for row in rows],
    ],
    ids=["one is missing", "one is given twice", "no origin", "too long", "without its beginning"],
)
def test_a_continuation_that_does_not_begin_in_its_state_is_reported(change):
    assert violations(continuing(change))[0].code == "continuations-begin-in-their-states"


def test_a_continuation_that_is_lost_to_an_error_is_reported():
    found = violations(continuing(lambda rows: [row.changed(ending="error", error="no light") for row in rows]))[0]
    assert (found.code, found.actual) == ("continuations-begin-in-their-states", "ending 'error': no light")


def test_a_continuation_that_depends_on_other_states_is_reported():
    def by_count(rows):
        action = "go[east]" if len(rows) > 1 else "go[west]"
        return [row.changed(steps=(*row.steps[:-1], row.steps[-1].changed(action=action))) for row in rows]

    assert [each.code for each in violations(continuing(by_count))] == ["continuations-begin-in-their-states"]


def test_an_expert_that_knows_only_its_own_routes_is_reported():
    class OwnRoutes(CorridorExpert):
        strict: bool

        def script(self, session, draw):
            known = {}  # what a session of its own shows -> the right action
            with session.environment.open(session.task) as own:
                while not own.done:
                    known[own.observation.text] = best_action(own.observation.text)
                    own.step(known[own.observation.text])
            if session.steps and not self.strict:
                yield "wait"
            while not session.done:
                yield known[session.observation.text]

    for strict, actual in ((True, "KeyError"), (False, "wait")):
        (found,) = violations(OwnRoutes(strict=strict))
        assert found.code == "other-routes-are-continued"
        assert actual in found.actual


class Declaring(Corridor):
    """A corridor with tools."""

    declared: tuple[Tool, ...]
    """Its tools."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self.declared


GO, TAKE, OPEN = (Tool(name=name, action=f"{name}[{{it}}]") for name in ("go", "take", "open"))


def test_an_action_of_the_expert_that_no_tool_takes_is_reported():
    assert expert_violations(CorridorExpert(), Declaring(declared=(GO, TAKE, OPEN))) == []
    (found,) = expert_violations(CorridorExpert(), Declaring(declared=(GO, TAKE)))
    assert found.code == "tools-take-the-experts-actions"
    assert "'open[" in found.where
