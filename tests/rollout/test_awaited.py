"""Calls of `simulate` whose result an attributor can't have looked at."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Segment, Trajectory
from eef_framework.rollout.attribution import attribution_by
from eef_framework.testing.simulate import ScriptedSimulate, demonstration

Asking = Callable[[Simulate], Awaitable[Any]]


def attributed(asking: Asking) -> ScriptedSimulate:
    """Attribute a trajectory of four actions by an attributor that asks so."""

    class Attributing(Attributor):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            await asking(simulate)
            return []

    simulate = ScriptedSimulate(demonstration(4), lambda state, index: True)
    asyncio.run(attribution_by(Attributing(), simulate.trajectory, simulate))
    return simulate


async def forgets_simulations(simulate: Simulate) -> None:
    simulate(1, 2)  # type: ignore[unused-coroutine]


async def forgets_a_success_rate(simulate: Simulate) -> None:
    assert simulate.success_rate(0)


async def forgets_a_score(simulate: Simulate) -> None:
    await simulate(0)
    assert simulate.score(0, ["go[0]"])


async def forgets_episodes(simulate: Simulate) -> None:
    assert simulate.episodes()


async def forgets_one_of_two(simulate: Simulate) -> None:
    assert [await simulate(0), simulate(1)]


async def forgets_to_await_gather(simulate: Simulate) -> None:
    assert asyncio.gather(simulate(0), simulate(1))


async def forgets_a_task(simulate: Simulate) -> None:
    assert asyncio.create_task(simulate(0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asking", "call"),
    [
        (forgets_simulations, "simulate"),
        (forgets_a_success_rate, "simulate.success_rate"),
        (forgets_a_score, "simulate.score"),
        (forgets_episodes, "simulate.episodes"),
        (forgets_one_of_two, "simulate"),
        (forgets_to_await_gather, "simulate"),
        (forgets_a_task, "simulate"),
    ],
)
def test_a_call_that_is_not_awaited_is_an_error_with_the_line_of_the_call(asking: Any, call: str) -> None:
    with pytest.raises(AttributorFailure) as caught:
        attributed(asking)
    assert caught.value.code == "not-awaited"
    assert caught.value.details["call"] == call
    file, _, line = caught.value.details["where"].rpartition(", line ")
    assert file == __file__
    assert asking.__code__.co_firstlineno < int(line) <= asking.__code__.co_firstlineno + 2


def test_the_error_replaces_pythons_warning() -> None:
    with warnings.catch_warnings(record=True, action="always") as caught:
        with pytest.raises(AttributorFailure):
            attributed(forgets_simulations)
        gc.collect()
    assert caught == []


async def one_by_one(simulate: Simulate) -> None:
    for state in range(4):
        await simulate.success_rate(state)


async def gathered(simulate: Simulate) -> None:
    await asyncio.gather(*map(simulate, range(4)))


async def in_tasks(simulate: Simulate) -> None:
    for task in [asyncio.create_task(simulate(state)) for state in range(4)]:  # type: ignore[arg-type]
        await task


async def in_a_task_group(simulate: Simulate) -> None:
    async with asyncio.TaskGroup() as group:
        for state in range(4):
            group.create_task(simulate(state))  # type: ignore[arg-type]


async def made_before_they_are_awaited(simulate: Simulate) -> None:
    for call in [simulate(state) for state in range(4)]:
        await call


async def with_a_time_limit(simulate: Simulate) -> None:
    for state in range(4):
        await asyncio.wait_for(simulate(state), timeout=60)


@pytest.mark.parametrize(
    "asking",
    [one_by_one, gathered, in_tasks, in_a_task_group, made_before_they_are_awaited, with_a_time_limit],
)
def test_calls_may_be_awaited_in_any_way(asking: Asking) -> None:
    assert sorted(attributed(asking).asked) == [(state, 1) for state in range(4)]


def test_tasks_that_are_cancelled_before_they_begin_are_no_error() -> None:
    async def asking(simulate: Simulate) -> None:
        asyncio.create_task(simulate(0)).cancel()  # type: ignore[arg-type]

    assert attributed(asking).asked == []


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_an_error_of_the_attributor_comes_first() -> None:
    async def asking(simulate: Simulate) -> None:
        assert simulate.success_rate(0) > 0.5  # type: ignore[operator]

    with pytest.raises(TypeError):
        attributed(asking)
    gc.collect()  # Python warns here, not in a later test
