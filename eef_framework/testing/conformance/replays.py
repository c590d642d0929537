"""Checks of an environment that take steps again: replays, forks, many sessions at once."""

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
"""In how many threads sessions are stepped at once."""


def prefixes_reach_their_state(context: EnvironmentContext) -> Violation | None:
    """Replaying a prefix of actions reaches an equal state, whatever was played in between."""
    tasks = context.tasks()
    for task in tasks:
        steps = context.walk(task)
        for cut in sorted({len(steps) // 3, 2 * len(steps) // 3, len(steps)}, reverse=True):
            with context.environment.open(task) as session:
                if found := divergence(session, steps[:cut]):
                    return divergence_violation(rule_of(prefixes_reach_their_state), task, found, DETERMINISM)
    return None


def sessions_are_independent(context: EnvironmentContext) -> Violation | None:
    """Sessions that are open at once don't disturb one another."""
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
    """Sessions that threads step at once (where the environment is blocking) don't disturb one another."""
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
                fix = f"{ISOLATION} Guard what sessions share with a lock."
                return divergence_violation(rule_of(sessions_are_independent_in_threads), task, found, fix)
    return None


def forks_equal_replays(context: EnvironmentContext) -> Violation | None:
    """A fork is in the state that its parent is in, and goes on as a replay would."""
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
                fix = "Let duplicate() copy everything that changes during an episode, or return None from it."
                return divergence_violation(rule_of(forks_equal_replays), task, found, fix)
    return None


def forks_leave_their_parent_alone(context: EnvironmentContext) -> Violation | None:
    """What happens in a fork doesn't change its parent."""
    for task in context.tasks():
        steps = context.walk(task)
        cut = len(steps) // 2
        with context.after(task, steps[:cut]) as parent:
            with parent.fork() as fork:
                for step in steps[cut:]:
                    fork.step(step.action)
            if found := divergence(parent, steps[cut:], cut):
                fix = "Let duplicate() copy lists, sets and dicts, not just refer to them."
                return divergence_violation(rule_of(forks_leave_their_parent_alone), task, found, fix)
    return None


def listed_actions_are_valid(context: EnvironmentContext) -> Violation | None:
    """An action that an observation lists is understood."""
    until = time.monotonic() + context.patience_s
    for task in context.tasks():
        with context.environment.open(task) as session:
            for expected in context.walk(task):
                for action in context.some(session.observation.actions or ()):
                    with session.fork() as fork:
                        if not fork.step(action).valid:
                            return Violation(
                                rule_of(listed_actions_are_valid),
                                f"task {task.id!r}, state {len(session.steps)}",
                                f"{quoted(action)} is understood",
                                "valid=False",
                                "List only actions that can be carried out, spelt as step() takes them.",
                            )
                    if time.monotonic() > until:
                        return None  # where sessions are expensive, a sample has to do
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
"""These rest on determinism: without it, they would all tell the same story."""
