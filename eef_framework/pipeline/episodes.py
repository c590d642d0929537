"""Shared code of phases that play episodes: concurrency and files."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from eef_framework.chat import ChatFormat
from eef_framework.errors import EefWarning, EnvironmentFailure
from eef_framework.records import State, StateId, SuccessRule, Trajectory
from eef_framework.records.base import Info
from eef_framework.rollout.resubmission import Resubmission

T = TypeVar("T")

MOST_ERRORS = 0.2
"""If a larger share of episodes is lost to infrastructure failures, a phase's results are meaningless."""

SHOWN = 60
"""Maximum length of an answer in a warning, in characters."""


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all. If one fails, the rest is cancelled before its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


def latest(rows: Iterable[Trajectory], key: Callable[[Trajectory], str]) -> dict[str, Trajectory]:
    """Return the last row for each key: an episode that was replayed after an error replaces the earlier one."""
    return {key(row): row for row in rows}


def in_order(rows: Iterable[Trajectory]) -> list[Trajectory]:
    """Return the rows sorted by id, so that their order doesn't depend on which finished first."""
    return sorted(rows, key=lambda row: row.id)


def distinct_states(episodes: Iterable[Trajectory]) -> list[State]:
    """Return the states in which episodes acted, each once even if several of them share it."""
    found: dict[StateId, State] = {}
    for episode in episodes:
        for state in range(len(episode.steps)):
            found.setdefault(episode.state_id(state), episode.at(state))
    return list(found.values())


def without_replaced(rows: Iterable[Trajectory]) -> list[Trajectory]:
    """Return the rows without episodes that were lost to failures and then played again."""
    rows = list(rows)
    newest = latest(rows, key=lambda row: row.id)
    return [row for row in rows if not row.lost or newest[row.id] is row]


def with_others(found: Sequence[Trajectory], rows: Iterable[Trajectory]) -> list[Trajectory]:
    """Merge in earlier episodes: those of the same tasks come first, those of other tasks last. None is dropped."""
    tasks, chosen = {row.task.id for row in found}, set(map(id, found))
    others = [row for row in without_replaced(rows) if id(row) not in chosen]
    earlier = [row for row in others if row.task.id in tasks]
    return [*earlier, *found, *in_order(row for row in others if row.task.id not in tasks)]


def mean_results(rows: Sequence[Trajectory], rule: SuccessRule) -> dict[str, float]:
    """Return success rate and mean reward of episodes, for trackers; nothing without episodes."""
    if not rows:
        return {}
    return {
        "success": sum(map(rule.holds, rows)) / len(rows),
        "reward": sum(row.reward for row in rows) / len(rows),
    }


def lost_workers(play: Resubmission) -> Info:
    """Return an entry for the manifest if episodes were lost with workers of the executor, and played again."""
    return {"played_again": play.lost} if play.lost else {}


def check_errors(rows: Sequence[Trajectory]) -> None:
    """Stop if too many episodes were lost. One that was lost and then played again counts once, as its last row.

    Raises:
        EnvironmentFailure: too many ended in an error.
    """
    rows = in_order(without_replaced(rows))
    failed = [row for row in rows if row.lost]
    if len(failed) > MOST_ERRORS * len(rows):
        raise EnvironmentFailure(
            f"{len(failed)} of {len(rows)} episodes were lost to failures, the first ({failed[0].id}) to: "
            f"{failed[0].error}",
            "Fix the cause and run the command again: lost episodes are played again.",
            code="episodes-lost",
            lost=len(failed),
            episodes=len(rows),
        )


def warn_of_answers(rows: Iterable[Trajectory], format: ChatFormat, trained: bool) -> None:
    """Warn if no answer of the agent has the form that it should have, which would look like an agent that fails.

    Args:
        rows: the episodes.
        format: the form of answers.
        trained: whether the agent has weights, which are trained on examples in this form.
    """
    answers = [step.response for row in rows for step in row.own_steps if step.response is not None]
    if not answers:
        return
    first = answers[0].text
    shown = first if len(first) <= SHOWN else f"{first[: SHOWN - 3]}..."
    count, style = len(answers), format.style
    if not any(answer.parsed for answer in answers):
        unparsed = EefWarning(
            f"no action was found in any of the agent's {count} answers, such as {shown!r}; format.style is {style!r}. "
            "Choose the style of the model's answers, or train it longer (clone.trainer).",
            code="answers-unparsed",
            answers=count,
            style=style,
            answer=shown,
        )
        warnings.warn(unparsed, stacklevel=3)
    elif trained and style == "react" and not any("action" in answer.text.casefold() for answer in answers):
        unlabelled = EefWarning(
            f"none of the agent's {count} answers has the form of training examples ('Action: ...'); the first is "
            f"{shown!r}. A model that was hardly trained answers like this: train it longer (clone.trainer). If its "
            "loss is low, set format.style to 'action', or let the policy write 'Action: '.",
            code="answers-unlabelled",
            answers=count,
            style=style,
            answer=shown,
        )
        warnings.warn(unlabelled, stacklevel=3)
