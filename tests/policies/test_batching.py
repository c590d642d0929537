import asyncio
import threading
import time

import pytest

from eef_framework.errors import PolicyFailure
from eef_framework.policies.batching import Batcher


class Work:
    """Notes the batches it is given, and doubles items in place."""

    def __init__(self, fail_on=None):
        self.batches = []
        self.fail_on = fail_on

    def __call__(self, batch):
        self.batches.append(len(batch))
        if any(item == [self.fail_on] for item in batch):
            raise RuntimeError("out of order")
        for item in batch:
            item.append(item[0] * 2)


def one_batch(items):
    return [items]


async def doubled(batcher, number):
    item = [number]
    await batcher.do(item)
    return item[1]


def test_what_is_asked_together_is_done_together():
    work = Work()

    async def main():
        batcher = Batcher(work, one_batch)
        return await asyncio.gather(*(doubled(batcher, number) for number in range(50)))

    assert asyncio.run(main()) == [number * 2 for number in range(50)]
    assert work.batches == [50]


def test_coroutines_that_get_ready_in_several_turns_still_meet():
    work = Work()

    async def late(batcher, number):
        for _ in range(number % 3):
            await asyncio.sleep(0)
        return await doubled(batcher, number)

    async def main():
        batcher = Batcher(work, one_batch)
        await asyncio.gather(*(late(batcher, number) for number in range(30)))

    asyncio.run(main())
    assert work.batches == [30]


def test_batches_are_cut_as_told():
    work = Work()

    async def main():
        batcher = Batcher(work, lambda items: [items[:3], items[3:]])
        await asyncio.gather(*(doubled(batcher, number) for number in range(8)))

    asyncio.run(main())
    assert work.batches == [3, 5]


def test_a_failure_reaches_those_of_its_batch_and_nobody_else():
    async def main():
        batcher = Batcher(Work(fail_on=1), lambda items: [items[:2], items[2:]])
        asked = (doubled(batcher, number) for number in range(4))
        results = await asyncio.gather(*asked, return_exceptions=True)
        return results, await doubled(batcher, 5)

    results, later = asyncio.run(main())
    assert all(isinstance(result, PolicyFailure) for result in results[:2])
    assert (results[0].code, results[0].details) == ("model-failed", {"cause": "RuntimeError"})
    assert isinstance(results[0].__cause__, RuntimeError)
    assert (results[2:], later) == ([4, 6], 10)


def test_a_request_that_was_given_up_is_not_computed():
    work = Work()

    async def main():
        batcher = Batcher(work, one_batch)
        tasks = [asyncio.create_task(doubled(batcher, number)) for number in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(main())
    assert (results[0], results[2]) == (0, 4)
    assert isinstance(results[1], asyncio.CancelledError)
    assert work.batches == [2]


def test_giving_up_while_it_is_computed_harms_nobody():
    async def main():
        started, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def work(batch):
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            for item in batch:
                item.append(item[0] * 2)

        batcher = Batcher(work, one_batch)
        tasks = [asyncio.create_task(doubled(batcher, number)) for number in range(3)]
        await started.wait()
        tasks[0].cancel()
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(main())
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [2, 4]


def test_another_event_loop_can_go_on():
    batcher = Batcher(Work(), one_batch)
    for number in (1, 2):
        assert asyncio.run(doubled(batcher, number)) == number * 2


def test_an_event_loop_that_was_left_in_the_middle_leaves_nothing_behind():
    work = Work()
    batcher = Batcher(work, one_batch)

    async def leave():
        task = asyncio.create_task(doubled(batcher, 1))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(leave())
    assert asyncio.run(doubled(batcher, 2)) == 4
    assert work.batches[-1] == 1


def test_a_closed_batcher_says_so():
    batcher = Batcher(Work(), one_batch)
    batcher.close()
    with pytest.raises(PolicyFailure) as caught:
        asyncio.run(doubled(batcher, 1))
    assert caught.value.code == "closed"


def test_closing_waits_for_the_batch_in_progress():
    started, ended = threading.Event(), threading.Event()

    def work(batch):
        started.set()
        time.sleep(0.2)
        ended.set()

    batcher = Batcher(work, one_batch)

    async def leave():
        task = asyncio.create_task(doubled(batcher, 1))
        await asyncio.to_thread(started.wait)
        task.cancel()

    asyncio.run(leave())
    batcher.close()
    assert ended.is_set()
