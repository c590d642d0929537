"""Checks of what an environment returns: its tasks and its instructions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from eef_framework.config.schema import TaskList
from eef_framework.errors import ConfigError, EnvironmentFailure, boundary
from eef_framework.interfaces import Environment
from eef_framework.records import Task


def chosen_tasks(environment: Environment, tasks: TaskList, found: object) -> Sequence[Task]:
    """Return the tasks of a list, given what the environment returned for its split.

    Raises:
        ConfigError: there are fewer than requested (`too-few-tasks`).
        EnvironmentFailure: they aren't tasks (`not-tasks`), or two have the same id (`repeated-task`).
    """
    name = environment.component_name()
    if not isinstance(found, Sequence):
        raise _not_tasks(name, tasks.split, found)
    if tasks.count is not None and tasks.count > len(found):
        raise ConfigError(
            f"{tasks.count} tasks of split {tasks.split!r} were asked for, environment {name!r} has {len(found)}",
            "Lower the count, or set it to null for all of them.",
            code="too-few-tasks",
            split=tasks.split,
            wanted=tasks.count,
            found=len(found),
        )
    chosen = found[: tasks.count]
    for each in chosen:
        if not isinstance(each, Task):
            raise _not_tasks(name, tasks.split, each)
    ids = Counter(task.id for task in chosen)
    if len(ids) < len(chosen):
        repeated, times = ids.most_common(1)[0]
        raise EnvironmentFailure(
            f"environment {name!r} has {times} tasks with the id {repeated!r} in split {tasks.split!r}",
            "Give every task an id of its own.",
            code="repeated-task",
            split=tasks.split,
            task=repeated,
        )
    return chosen


def check_instructions(environment: Environment) -> None:
    """Raise an error if an environment's instructions can't be shown to the agent.

    Raises:
        EnvironmentFailure: they aren't text (`instructions-not-text`), or their code failed.
    """
    name = environment.component_name()
    with boundary(EnvironmentFailure, environment, "giving its instructions"):
        found: object = environment.instructions
    if not isinstance(found, str):
        raise EnvironmentFailure(
            f"the instructions of environment {name!r} are {found!r:.80}, not text",
            "Return a string; an empty one if there are none.",
            code="instructions-not-text",
        )


def _not_tasks(environment: str, split: str, found: object) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"tasks({split!r}) of environment {environment!r} returned {found!r:.80}, expected a list of tasks",
        "Return a list of what new_task() makes.",
        code="not-tasks",
        split=split,
    )
