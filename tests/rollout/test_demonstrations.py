"""What the framework adds to an expert's demonstrations."""

import asyncio

import pytest

from eef_framework.errors import ExpertFailure, WorkerLost
from eef_framework.interfaces import Expert
from eef_framework.records import Provenance
from eef_framework.rollout import ThreadExecutor, demonstrations, merged
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert

CORRIDOR = Corridor()
TASKS = CORRIDOR.tasks("train")[:3]


class Several(Expert):
    """Demonstrates each task twice."""

    attempts: tuple[int, ...] = (0, 1)
    timeout_s: float = 5.0
    model: str = "big"

    @property
    def demonstrations_per_task(self):
        return 2

    def free_settings(self):
        return ("timeout_s",)

    async def demonstrate(self, environment, tasks, seed):
        for attempt in self.attempts:
            async for each in CorridorExpert().demonstrate(environment, tasks, seed + attempt):
                yield each.changed(attempt=attempt)


def stamped(expert, executor=None):
    async def gather():
        return [each async for each in demonstrations(expert, CORRIDOR, TASKS, 7, executor)]

    return asyncio.run(gather())


def test_several_demonstrations_of_a_task_have_different_ids():
    found = stamped(Several())
    name = Several.component_name()
    assert sorted(each.id for each in found) == sorted(f"expert/{name}/{t.id}/{n}" for t in TASKS for n in (0, 1))


def test_an_attempt_is_yielded_once_although_a_worker_was_lost_between_two_of_its_task():
    losses = iter([len(TASKS) + 1])

    class Losing(ThreadExecutor):
        async def demonstrate(self, expert, environment, tasks, seed):
            end = next(losses, None)
            count = 0
            async for each in super().demonstrate(expert, environment, tasks, seed):
                yield each
                count += 1
                if count == end:
                    raise WorkerLost("a worker ended")

    found = stamped(Several(), Losing())
    assert len(found) == len({each.id for each in found}) == 2 * len(TASKS)


def test_an_attempt_that_was_not_asked_for_is_refused():
    with pytest.raises(ExpertFailure) as caught:
        stamped(Several(attempts=(0, 2)))
    assert caught.value.code == "not-asked-for"


def test_provenance_has_the_settings_that_affect_results():
    for each in stamped(Several()):
        assert each.provenance.expert["model"] == "big"
        assert "timeout_s" not in each.provenance.expert
        assert each.provenance.environment == CORRIDOR.settings()
        assert not each.provenance.date  # collecting adds it: what is played depends on the seed alone


def test_a_demonstration_that_was_made_before_keeps_its_provenance():
    class Recorded(CorridorExpert):
        async def demonstrate(self, environment, tasks, seed):
            async for each in super().demonstrate(environment, tasks, seed):
                yield each.changed(provenance=Provenance(date="2020-01-01T00:00:00Z"))

    assert {each.provenance.date for each in stamped(Recorded())} == {"2020-01-01T00:00:00Z"}


async def numbers(*values, error=None):
    for value in values:
        await asyncio.sleep(0)
        yield value
    if error is not None:
        raise error


def collected(*iterators, lasts=lambda error: False):
    found = []

    async def gather():
        async for each in merged(iterators, lasts):
            found.append(each)  # noqa: PERF401 - it may raise in between

    try:
        asyncio.run(gather())
    except ValueError as error:
        return found, str(error)
    return found, ""


def test_iterators_are_merged():
    found, error = collected(numbers(1, 2, 3), numbers(), numbers(4))
    assert (sorted(found), error) == ([1, 2, 3, 4], "")


def test_an_error_stops_the_others_unless_it_is_to_be_the_last():
    many = range(1000)
    found, error = collected(numbers(error=ValueError("x")), numbers(*many))
    assert error == "x"
    assert len(found) < 1000
    found, error = collected(numbers(error=ValueError("x")), numbers(*many), lasts=lambda error: True)
    assert (found, error) == ([*many], "x")
