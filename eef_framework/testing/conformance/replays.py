"""Checks of an environment that repeat steps: replays, forks, concurrent sessions."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

from eef_framework.records import Task
from eef_framework.testing.conformance.context import EnvironmentContext
from eef_framework.testing.conformance.divergence import (
    DETERMINISM,
    ISOLATION,
    Divergence,
    divergence,
    divergence_violation,
)
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of

THREADS = 8
"""Number of threads that step sessions concurrently."""


def prefixes_reach_their_state(context: EnvironmentContext) -> Violation | None:
    """Replaying a prefix of actions leads to an equal state, regardless of episodes played in between."""
    tasks = context.tasks()
    for task in tasks:
        steps = context.walk(task)
        for cut in sorted({len(steps) // 3, 2 * len(steps) // 3, len(steps)}, reverse=True):
            with context.environment.open(task) as session:
                if found := divergence(session, steps[:cut]):
                    return divergence_violation(rule_of(prefixes_reach_their_state), task, found, DETERMINISM)
    return None


def sessions_are_independent(context: EnvironmentContext) -> Violation | None:
    """Sessions that are open at the same time don't affect each other."""
    tasks = context.tasks() * 2  # of the same task, too
    walks = [context.walk(task) for task in tasks]
    sessions = [context.environment.open(task) for task in tasks]
    try:
        for number, turn in enumerate(zip_longest(*walks)):
            for task, session, expected in zip(tasks, sessions, turn, strict=True):
                if expected is not None and (found := divergence(session, [expected], number)):
                    return divergence_violation(rule_of(sessions_are_independent), task, found, ISOLATION)
    finally:
        for session in sessions:
            session.close()
    return None


def sessions_are_independent_in_threads(context: EnvironmentContext) -> Violation | None:
    """Sessions of a blocking environment can be stepped in parallel threads without affecting each other."""
    if not context.environment.blocking:
        return None

    def play(task: Task) -> Divergence | None:
        with context.environment.open(task) as session:
            return divergence(session, context.walk(task))

    tasks = context.tasks()
    for task in tasks:
        context.walk(task)  # one after the other, before the threads start
    with ThreadPoolExecutor(THREADS) as pool:
        for task, found in zip(tasks * 2, pool.map(play, tasks * 2), strict=True):
            if found:
                fix = f"{ISOLATION} Protect shared objects with a lock."
                return divergence_violation(rule_of(sessions_are_independent_in_threads), task, found, fix)
    return None


def forks_equal_replays(context: EnvironmentContext) -> Violation | None:
    """A fork has the same state as its parent, and the same actions lead to the same observations as in a replay."""
    for task in context.tasks():
        steps = context.walk(task)
        cut = len(steps) // 2
        with context.after(task, steps[:cut]) as parent, parent.fork() as fork:
            if fork is parent or (fork.observation, fork.steps) != (parent.observation, parent.steps):
                return Violation(
                    rule_of(forks_equal_replays),
                    f"task {task.id!r}, state {cut}",
                    f"another session that shows {quoted(parent.observation.text)}",
                    "the session itself" if fork is parent else f"one that shows {quoted(fork.observation.text)}",
                    "Return a copy of the session from duplicate(), or None to let replay do it.",
                )
            parent.close()  # a fork outlives its parent
            if found := divergence(fork, steps[cut:], cut):
                fix = "Copy everything that changes during an episode in duplicate(), or return None from it."
                return divergence_violation(rule_of(forks_equal_replays), task, found, fix)
    return None


def forks_leave_their_parent_alone(context: EnvironmentContext) -> Violation | None:
    """Actions in a fork don't change its parent."""
    for task in context.tasks():
        steps = context.walk(task)
        cut = len(steps) // 2
        with context.after(task, steps[:cut]) as parent:
            with parent.fork() as fork:
                for step in steps[cut:]:
                    fork.step(step.action)
            if found := divergence(parent, steps[cut:], cut):
                fix = "Copy lists, sets and dicts in duplicate(), instead of sharing them."
                return divergence_violation(rule_of(forks_leave_their_parent_alone), task, found, fix)
    return None


def listed_actions_are_valid(context: EnvironmentContext) -> Violation | None:
    """The actions that an observation lists are valid."""
    until = time.monotonic() + context.patience_s
    for task in context.tasks():
        with context.environment.open(task) as session:
            for expected in context.walk(task):
                for action in context.sample(session.observation.actions or ()):
                    with session.fork() as fork:
                        if not fork.step(action).valid:
                            return Violation(
                                rule_of(listed_actions_are_valid),
                                f"task {task.id!r}, state {len(session.steps)}",
                                f"{quoted(action)} is valid",
                                "valid=False",
                                "List only actions that step() accepts, with the same spelling.",
                            )
                    if time.monotonic() > until:
                        return None  # sessions are expensive: a sample is enough
                session.step(expected.action)
    return None


REPLAY_CHECKS = (
    prefixes_reach_their_state,
    sessions_are_independent,
    sessions_are_independent_in_threads,
    forks_equal_replays,
    forks_leave_their_parent_alone,
    listed_actions_are_valid,
)
"""Checks that assume determinism: without it, they would all report the same violation."""
