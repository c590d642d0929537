import asyncio
import subprocess
import sys
import threading
import time
from contextvars import ContextVar

import pytest

from eef_framework.rollout.threads import StepThreads

LONG = 30.0


def test_waiting_for_a_thread_is_not_part_of_a_calls_time() -> None:
    async def main() -> list[int]:
        threads = StepThreads(at_once=2)

        def call(number: int) -> int:
            time.sleep(0.1)
            return number

        return await asyncio.gather(*(threads.call(lambda n=n: call(n), timeout_s=2.0) for n in range(60)))

    assert asyncio.run(main()) == list(range(60))  # the last ones wait 2.9 s


def test_no_more_calls_are_made_at_a_time_than_allowed_and_threads_are_used_again() -> None:
    busy, most, names = 0, 0, set()
    lock = threading.Lock()

    def call() -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
            names.add(threading.get_ident())
        time.sleep(0.005)
        with lock:
            busy -= 1

    async def main() -> None:
        threads = StepThreads(at_once=3)
        await asyncio.gather(*(threads.call(call, LONG) for _ in range(30)))

    asyncio.run(main())
    assert most == len(names) == 3


def test_calls_that_hang_hold_up_nobody() -> None:
    release = threading.Event()

    async def main() -> list[object]:
        threads = StepThreads(at_once=2)
        calls = [threads.call(release.wait, timeout_s=0.05) for _ in range(5)]
        calls.append(threads.call(lambda: True, LONG))
        return await asyncio.gather(*calls, return_exceptions=True)

    *hung, done = asyncio.run(main())
    release.set()
    assert [type(each) for each in hung] == [TimeoutError] * 5
    assert done is True


def test_an_error_reaches_the_caller() -> None:
    def call() -> None:
        raise KeyError("x")

    async def main() -> None:
        await StepThreads().call(call, LONG)

    with pytest.raises(KeyError):
        asyncio.run(main())


def test_a_call_sees_its_callers_context() -> None:
    variable: ContextVar[str] = ContextVar("variable")

    async def main() -> str:
        variable.set("here")
        return await StepThreads().call(variable.get, LONG)

    assert asyncio.run(main()) == "here"


def test_threads_serve_one_event_loop_after_another() -> None:
    threads = StepThreads(at_once=1)
    assert [asyncio.run(threads.call(lambda: 1, LONG)) for _ in range(2)] == [1, 1]


def test_idle_threads_end_with_their_owner() -> None:
    threads = StepThreads()
    thread = asyncio.run(threads.call(threading.current_thread, LONG))
    assert thread.is_alive()
    del threads
    thread.join(LONG)
    assert not thread.is_alive()


def test_a_call_that_hangs_for_ever_does_not_keep_the_process_from_ending() -> None:
    script = (
        "import asyncio, threading\n"
        "from eef_framework.rollout.threads import StepThreads\n"
        "try:\n"
        "    asyncio.run(StepThreads().call(threading.Event().wait, 0.05))\n"
        "except TimeoutError:\n"
        "    print('given up')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("given up\n", "")
