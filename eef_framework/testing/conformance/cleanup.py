"""Checks of closing sessions and environments: leaks, and use after close."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from eef_framework.errors import EefError
from eef_framework.interfaces import Session
from eef_framework.memory import release_memory
from eef_framework.testing.conformance.context import EnvironmentContext
from eef_framework.testing.conformance.divergence import divergence, divergence_violation
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of

FEWEST_CYCLES = 10
"""Minimum number of sessions that are opened and closed to search for leaks, regardless of the time."""

MEMORY_MB, SESSION_KB = 4, 100
"""Allowed growth of memory while sessions are opened and closed: in total, and for each session."""


def sessions_close_at_any_time(context: EnvironmentContext) -> Violation | None:
    """A session can be closed in any state, and twice."""
    for task in context.tasks():
        for steps in ([], context.walk(task)):
            session = context.after(task, steps)
            session.close()
            session.close()
    return None


def closed_sessions_are_out_of_use(context: EnvironmentContext) -> Violation | None:
    """A closed session can't be stepped or forked."""
    task = context.tasks()[0]
    session = context.after(task, [])
    session.close()
    uses: dict[str, Callable[[], object]] = {"step('x')": lambda: session.step("x"), "fork()": session.fork}
    for what, use in uses.items():
        if (actual := _answer(use)) != "EnvironmentFailure":
            return Violation(
                rule_of(closed_sessions_are_out_of_use),
                f"task {task.id!r}, {what} after close()",
                "EnvironmentFailure",
                actual,
                "Don't override `step`, `fork` and `close` of Session; release resources in release().",
            )
    return None


def sessions_leave_nothing_open(context: EnvironmentContext) -> Violation | None:
    """A closed session releases its threads, processes, files and memory."""
    task = context.tasks()[0]
    actions = context.walk(task)[:1]
    context.after(task, actions).close()  # the first one may start resources that all sessions share
    alive: list[weakref.ref[Session]] = []
    before, halfway = _open_resources(alive), (0, 0.0)
    began, cycles = time.monotonic(), 0
    while cycles < context.cycles and (cycles < FEWEST_CYCLES or time.monotonic() - began < context.patience_s):
        session = context.after(task, actions)
        alive.append(weakref.ref(session))
        session.close()
        del session
        cycles += 1
        if cycles == context.cycles // 2:
            halfway = cycles, _memory_mb()
    now, grown = _open_resources(alive), _memory_mb() - halfway[1]
    left = {what: now[what] - before[what] for what in now}
    found = next((f"{count} new {what}" for what, count in left.items() if count >= max(cycles // 2, 2)), "")
    if not found and halfway[0] and grown > MEMORY_MB + (cycles - halfway[0]) * SESSION_KB / 1024:
        found = f"{grown:.0f} MB more memory during the last {cycles - halfway[0]} of them"
    if not found:
        return None
    return Violation(
        rule_of(sessions_leave_nothing_open),
        f"task {task.id!r}",
        f"no growth after {cycles} sessions were opened and closed",
        found,
        "Stop the session's threads and processes in release(), close its files, and keep no list of sessions.",
    )


def environments_close_for_themselves(context: EnvironmentContext) -> Violation | None:
    """An environment can be closed twice, and closing it doesn't affect other instances."""
    environment = context.environment
    twin = type(environment)(**environment.model_dump())
    task = context.tasks()[0]
    steps = context.walk(task)
    with environment.open(task) as session:
        twin.open(task).close()
        twin.close()
        twin.close()
        if found := divergence(session, steps):
            fix = "Release only the environment's own resources in close(); count the users of shared ones."
            return divergence_violation(rule_of(environments_close_for_themselves), task, found, fix)
    return None


def closed_environments_open_nothing_broken(context: EnvironmentContext) -> Violation | None:
    """A closed environment opens tasks as before, or raises EnvironmentFailure."""
    environment = context.environment
    twin = type(environment)(**environment.model_dump())
    task = context.tasks()[0]
    twin.open(task).close()
    twin.close()
    try:
        with twin.open(task) as session:
            found = divergence(session, context.walk(task))
    except EefError:
        return None
    except Exception as error:
        actual = f"{type(error).__name__}: {quoted(str(error))}"
        fix = "Raise EnvironmentFailure in open(), or restart there what close() released."
        return Violation(
            rule_of(closed_environments_open_nothing_broken), f"task {task.id!r}", "EnvironmentFailure", actual, fix
        )
    finally:
        twin.close()
    if found:
        fix = "Restart everything in open() that close() released."
        return divergence_violation(rule_of(closed_environments_open_nothing_broken), task, found, fix)
    return None


CLEANUP_CHECKS = (sessions_close_at_any_time, closed_sessions_are_out_of_use, sessions_leave_nothing_open)

TWIN_CHECKS = (environments_close_for_themselves, closed_environments_open_nothing_broken)
"""Checks that load the environment a second time."""


def _answer(use: Callable[[], object]) -> str:
    try:
        return f"it returned a {type(use()).__name__}"
    except Exception as error:
        return type(error).__name__


def _open_resources(alive: list[weakref.ref[Session]]) -> dict[str, int]:
    """Count open resources."""
    process = _process()
    return {
        "threads": threading.active_count(),
        "processes": len(process.children(recursive=True)),
        "open files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
        "sessions in memory": sum(session() is not None for session in alive),
    }


def _memory_mb() -> float:
    release_memory()  # else sessions could fill for a long time what earlier work had freed, and leave no trace
    return float(_process().memory_info().rss) / 2**20


def _process() -> Any:
    """Return this process, with the garbage collected."""
    import psutil  # type: ignore[import-untyped]  # its annotations are a distribution of their own

    gc.collect()
    return psutil.Process()
