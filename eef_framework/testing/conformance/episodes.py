"""Checks of an environment's episodes."""

from __future__ import annotations

import math
import threading
from itertools import zip_longest

from eef_framework.errors import EnvironmentFailure
from eef_framework.interfaces import Session
from eef_framework.records import Observation, Step, Task
from eef_framework.testing.conformance.subject import EnvironmentSubject, difference
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of

ODD_ACTIONS = ("", " ", "\n\n", "\x00", "x" * 100_000, "naïve 猫 🦉 \u202e", "[", "][", "%s {0} {} \\", "None")
"""What a language model may come up with."""

SESSIONS = 50
"""How many sessions are opened and closed in search of what they leave behind."""

EPISODE = 200
"""Longest walk in search of an episode's end, in actions."""

DETERMINISM = "Let everything depend on task and actions alone: seed by the task, sort sets and folders."
ISOLATION = "Keep what an episode changes in its session, not in the environment, the class or a shared object."


def first_observation_is_fixed(subject: EnvironmentSubject) -> Violation | None:
    """The same task always has the same first observation."""
    for task in subject.tasks():
        with subject.environment.open(task) as session, subject.environment.open(task) as other:
            if session.observation != other.observation:
                return Violation(
                    rule_of(first_observation_is_fixed),
                    f"task {task.id!r}",
                    _shown(session.observation, other.observation),
                    _shown(other.observation, session.observation),
                    DETERMINISM,
                )
    return None


def steps_are_deterministic(subject: EnvironmentSubject) -> Violation | None:
    """The same actions always lead to the same observations and rewards."""
    for task in subject.tasks():
        steps = subject.walk(task)
        with subject.environment.open(task) as session:
            if found := _departure(session, steps):
                return _departed(rule_of(steps_are_deterministic), task, found, DETERMINISM)
    return None


def prefixes_reach_their_state(subject: EnvironmentSubject) -> Violation | None:
    """Replaying a prefix of actions reaches an equal state, whatever was played in between."""
    tasks = subject.tasks()
    for task in tasks:
        steps = subject.walk(task)
        for cut in sorted({len(steps) // 3, 2 * len(steps) // 3, len(steps)}, reverse=True):
            with subject.environment.open(task) as session:
                if found := _departure(session, steps[:cut]):
                    return _departed(rule_of(prefixes_reach_their_state), task, found, DETERMINISM)
    return None


def sessions_are_independent(subject: EnvironmentSubject) -> Violation | None:
    """Sessions that are open at once don't disturb one another."""
    tasks = subject.tasks()
    walks = [subject.walk(task) for task in tasks]
    sessions = [subject.environment.open(task) for task in tasks]
    try:
        for number, turn in enumerate(zip_longest(*walks)):
            for task, session, expected in zip(tasks, sessions, turn, strict=True):
                if expected is not None and (found := _departure(session, [expected], number)):
                    return _departed(rule_of(sessions_are_independent), task, found, ISOLATION)
    finally:
        for session in sessions:
            session.close()
    return None


def forks_equal_replays(subject: EnvironmentSubject) -> Violation | None:
    """A fork is in the state that its parent is in, and goes on as a replay would."""
    for task in subject.tasks():
        steps = subject.walk(task)
        cut = len(steps) // 2
        with subject.after(task, steps[:cut]) as parent, parent.fork() as fork:
            if fork is parent or (fork.observation, fork.steps) != (parent.observation, parent.steps):
                return Violation(
                    rule_of(forks_equal_replays),
                    f"task {task.id!r}, state {cut}",
                    f"another session that shows {quoted(parent.observation.text)}",
                    "the session itself" if fork is parent else f"one that shows {quoted(fork.observation.text)}",
                    "Return a copy of the session from _copy(), or None to let replay do it.",
                )
            parent.close()  # a fork outlives its parent
            if found := _departure(fork, steps[cut:], cut):
                fix = "Let _copy() copy everything that changes during an episode, or return None from it."
                return _departed(rule_of(forks_equal_replays), task, found, fix)
    return None


def forks_leave_their_parent_alone(subject: EnvironmentSubject) -> Violation | None:
    """What happens in a fork doesn't change its parent."""
    for task in subject.tasks():
        steps = subject.walk(task)
        cut = len(steps) // 2
        with subject.after(task, steps[:cut]) as parent:
            with parent.fork() as fork:
                for step in steps[cut:]:
                    fork.step(step.action)
            if found := _departure(parent, steps[cut:], cut):
                fix = "Let _copy() copy lists, sets and dicts, not just refer to them."
                return _departed(rule_of(forks_leave_their_parent_alone), task, found, fix)
    return None


def ends_are_final(subject: EnvironmentSubject) -> Violation | None:
    """An episode that has ended takes no further action."""
    for task in subject.tasks():
        with subject.environment.open(task) as session:
            subject.wander(session, EPISODE)
            if not session.steps or not session.steps[-1].done:
                continue  # no end in sight: a run's own step limit will end it
            action = session.steps[-1].action
            try:
                session.step(action)
            except EnvironmentFailure:
                continue
            return Violation(
                rule_of(ends_are_final),
                f"task {task.id!r}, behind its last action",
                "EnvironmentFailure",
                f"step({action!r}) was carried out",
                "Leave `done` and `step` of Session as they are.",
            )
    return None


def odd_actions_are_survived(subject: EnvironmentSubject) -> Violation | None:
    """Any string is an action: one that makes no sense has valid=False and doesn't raise."""
    task = subject.tasks()[0]
    for action in ODD_ACTIONS:
        with subject.environment.open(task) as session:
            seen = session.observation
            try:
                step = session.step(action)
            except Exception as error:
                actual = f"{type(error).__name__}: {quoted(str(error))}"
            else:
                understood = step.valid and seen.actions is not None and not seen.admits(action)
                if step.action == action and not understood:
                    continue
                actual = "a step with valid=True" if understood else f"a step with action {quoted(step.action)}"
        return Violation(
            rule_of(odd_actions_are_survived),
            f"task {task.id!r}, action {quoted(action)}",
            "a step with this action and valid=False",
            actual,
            "Return Step(action=action, observation=..., valid=False) for whatever isn't understood.",
        )
    return None


def rewards_are_finite(subject: EnvironmentSubject) -> Violation | None:
    """Rewards are finite numbers."""
    for task in subject.tasks():
        with subject.environment.open(task) as session:
            subject.wander(session, subject.steps)
            rewards = {f"step {number}": step.reward for number, step in enumerate(session.steps, 1)}
            for where, reward in {**rewards, "the episode": session.reward}.items():
                if not math.isfinite(reward):
                    return Violation(
                        rule_of(rewards_are_finite),
                        f"task {task.id!r}, {where}",
                        "a finite number",
                        str(reward),
                        "Give 0.0 where there is no reward.",
                    )
    return None


def listed_actions_are_valid(subject: EnvironmentSubject) -> Violation | None:
    """An action that an observation lists is understood."""
    for task in subject.tasks():
        with subject.environment.open(task) as session:
            for expected in subject.walk(task):
                for action in subject.some(session.observation.actions or ()):
                    with session.fork() as fork:
                        if not fork.step(action).valid:
                            return Violation(
                                rule_of(listed_actions_are_valid),
                                f"task {task.id!r}, state {len(session.steps)}",
                                f"{quoted(action)} is understood",
                                "valid=False",
                                "List only actions that can be carried out, spelt as step() takes them.",
                            )
                session.step(expected.action)
    return None


def sessions_close_at_any_time(subject: EnvironmentSubject) -> Violation | None:
    """A session can be closed in any state, and twice."""
    for task in subject.tasks():
        for steps in ([], subject.walk(task)):
            session = subject.after(task, steps)
            session.close()
            session.close()
    return None


def sessions_leave_nothing_behind(subject: EnvironmentSubject) -> Violation | None:
    """A closed session leaves no threads behind."""
    task = subject.tasks()[0]
    subject.after(task, []).close()  # the first one may start what all share
    before = threading.active_count()
    for _ in range(SESSIONS):
        subject.after(task, subject.walk(task)[:1]).close()
    left = threading.active_count() - before
    if left < SESSIONS // 2:
        return None
    return Violation(
        rule_of(sessions_leave_nothing_behind),
        f"task {task.id!r}",
        f"no new threads after {SESSIONS} sessions were opened and closed",
        f"{left} new threads",
        "End in _close() what the session started.",
    )


EPISODE_CHECKS = (
    ends_are_final,
    odd_actions_are_survived,
    rewards_are_finite,
    sessions_close_at_any_time,
    sessions_leave_nothing_behind,
)

DETERMINISM_CHECKS = (first_observation_is_fixed, steps_are_deterministic)

REPLAY_CHECKS = (
    prefixes_reach_their_state,
    sessions_are_independent,
    forks_equal_replays,
    forks_leave_their_parent_alone,
    listed_actions_are_valid,
)
"""These take steps again and so rest on determinism: without it, they would all tell the same story."""

Departure = tuple[int, str, str, object, object]
"""State, the action that led there, and the field of the step that differs, with expected and actual value."""


def _departure(session: Session, steps: list[Step], state: int = 0) -> Departure | None:
    """Take recorded steps again, and return where the first one differs."""
    for number, expected in enumerate(steps, state + 1):
        if session.done:
            return number - 1, "", "done", False, True
        if found := difference(expected, session.step(expected.action)):
            return number, expected.action, *found
    return None


def _departed(rule: str, task: Task, found: Departure, fix: str) -> Violation:
    state, action, name, expected, actual = found
    where = f"task {task.id!r}, state {state}" + (f", behind {quoted(action)}" if action else "")
    return Violation(rule, where, f"{name} {quoted(expected)}", f"{name} {quoted(actual)}", fix)


def _shown(observation: Observation, other: Observation) -> str:
    if observation.text != other.text:
        return quoted(observation.text)
    return f"actions {quoted(observation.actions)}"
