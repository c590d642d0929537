"""Coroutines run in a script and in a notebook, in one loop for a run."""

import asyncio
import threading

import pytest

from eef_framework.event_loop import EventLoop, Slots, run_coroutine


async def current():
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def test_one_coroutine_after_another_runs_in_the_same_loop():
    with EventLoop() as loop:
        assert loop.run(current()) is loop.run(current())


def test_a_coroutine_runs_where_a_loop_runs_already():
    async def cell():
        with EventLoop() as loop:
            first, second = loop.run(current()), loop.run(current())
        return first is second, first is asyncio.get_running_loop(), run_coroutine(asyncio.sleep(0, "done"))

    assert asyncio.run(cell()) == (True, False, "done")
    assert not [thread for thread in threading.enumerate() if thread.name == "eef-event-loop"]


@pytest.mark.parametrize("in_notebook", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_failed_coroutine_left_running_is_cancelled(error, in_notebook):
    ended = []

    async def endless():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(True)

    async def failing():
        background.append(asyncio.create_task(endless()))
        await asyncio.sleep(0)
        raise error

    def fail():
        with EventLoop() as loop, pytest.raises(error):
            loop.run(failing())
        assert ended == [True]

    async def cell():
        fail()

    background = []
    asyncio.run(cell()) if in_notebook else fail()


@pytest.mark.parametrize("side_by_side", [False, True])
def test_slots_limit_every_event_loop_that_they_are_used_in(side_by_side):
    slots, most = Slots(2), []

    async def many():
        present = 0

        async def one():
            nonlocal present
            async with slots:
                present += 1
                most.append(present)
                await asyncio.sleep(0.001)
                present -= 1

        await asyncio.gather(*(one() for _ in range(6)))

    if side_by_side:
        threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        for _ in range(20):  # a new loop may have the address of an old one
            asyncio.run(many())
    assert max(most) == 2
