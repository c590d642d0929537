"""Each rule is tested against an expert that breaks it in a line or two, with the report it gets."""

import asyncio
import itertools
import random
from typing import Any, ClassVar

import pytest

from eef_framework.errors import EnvironmentFailure
from eef_framework.interfaces import Expert
from eef_framework.records import Observation, Response, Trajectory
from eef_framework.testing.conformance import Nonconformance, check_expert, expert_violations
from eef_framework.testing.corridor import BlockingCorridor, Corridor
from eef_framework.testing.corridor_expert import CorridorExpert

counter = itertools.count()


def report(expert: Expert, **options: Any) -> str:
    return "\n".join(map(str, expert_violations(expert, Corridor(), **options)))


def changed(change: Any) -> CorridorExpert:
    """Return a corridor-expert whose demonstrations are changed before they are given."""

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
def test_a_task_that_is_left_out_or_demonstrated_twice_is_told(given, count):
    class Uneven(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            for each in given([each async for each in super().demonstrate(environment, tasks, seed)]):
                yield each

    assert report(Uneven()) == (
        "There is one demonstration of every task it is asked for, and no other (task 'corridor-train-025')\n"
        "  expected: 1 trajectories\n"
        f"  actual:   {count}\n"
        "  fix:      Yield one Trajectory for each task, failures included."
    )


def test_something_else_than_a_trajectory_is_told():
    assert "one demonstration of every task" in report(changed(lambda each: each.actions))


def test_what_the_disk_changes_is_told():
    assert "A demonstration that was written and read back is the same" in report(
        changed(lambda each: each.model_copy(update={"steps": list(each.steps)}))
    )


def test_an_observation_that_was_not_there_is_told():
    def change(each: Trajectory) -> Any:
        tidied = [step.changed(observation=Observation(text=step.observation.text.upper())) for step in each.steps]
        return each.changed(steps=tuple(tidied))

    text = report(changed(change))
    assert text.startswith(
        "Replaying a demonstration's actions gives its observations, its reward and its ending "
        "(task 'corridor-train-000')\n  expected: the recorded observations\n  actual:   replay of task "
    )
    assert "Record the session's own steps and reward" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reward": 0.9}, "actual:   reward 0.9"),
        ({"ending": "gave-up"}, "actual:   ending 'gave-up'"),
        ({"ending": "truncated"}, "expected: ending 'terminated'"),
    ],
)
def test_a_reward_or_an_ending_that_was_not_there_is_told(change, words):
    assert words in report(changed(lambda each: each.changed(**change)))


def test_an_ending_that_was_never_reached_is_told():
    class Boastful(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in CorridorExpert(max_steps=1).demonstrate(environment, tasks, seed):
                yield each.changed(ending="terminated")

        name: ClassVar[str] = "boastful"

    assert "expected: ending 'gave-up', 'step-limit' or 'time-limit'" in report(Boastful())


def test_a_step_that_was_misread_is_told():
    def change(each: Trajectory) -> Any:
        return each.changed(steps=tuple(step.changed(valid=False) for step in each.steps))

    assert "  expected: step 1: valid True\n  actual:   valid False\n" in report(changed(change))


def test_draws_that_do_not_come_from_the_seed_are_told():
    class Moody(CorridorExpert):
        def script(self, session, draw):
            yield from super().script(session, random.Random(next(counter)))

    text = report(Moody(skill=0.3))
    assert text.startswith(
        "The same seed gives the same demonstration of a task, whichever other tasks are asked for "
        "(task 'corridor-train-000', demonstrated again)\n  expected: actions "
    )
    assert "Draw from random.Random(derive(seed, name, task.id))" in text


def test_draws_that_depend_on_the_tasks_before_are_told():
    class Chained(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            self._stream = random.Random(seed)
            async for each in super().demonstrate(environment, tasks, seed):
                yield each

        def script(self, session, draw):
            yield from super().script(session, self._stream)

        _stream: Any = None

    assert "demonstrated in reverse)" in report(Chained(skill=0.3))


def test_a_failure_that_ends_everything_is_told():
    class Fragile(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in super().demonstrate(environment, tasks, seed):
                if each.ending == "error":
                    raise EnvironmentFailure(each.error)
                yield each

    text = report(Fragile())
    assert text.startswith("A task that can't be opened is demonstrated, too")
    assert "actual:   EnvironmentFailure: environment 'corridor' failed while opening" in text


def test_a_failure_that_is_left_out_is_told():
    class Silent(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in super().demonstrate(environment, tasks, seed):
                if each.ending != "error":
                    yield each

    assert "  actual:   no trajectory of 'corridor-train-000'\n" in report(Silent())


def test_a_failure_that_passes_for_an_episode_is_told():
    text = report(changed(lambda each: each.changed(ending="gave-up") if each.ending == "error" else each))
    assert "  expected: ending 'error' and what went wrong in `error`\n  actual:   ending 'gave-up', error " in text


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

    assert report(changed(change)) == ""


def test_violations_are_raised_together():
    with pytest.raises(Nonconformance) as caught:
        check_expert(changed(lambda each: each.changed(reward=0.9)), Corridor())
    assert [each.code for each in caught.value.violations] == ["demonstrations-can-be-replayed"]
