"""Checks of an environment's tasks and instructions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_framework.interfaces import Session
from eef_framework.records import Task
from eef_framework.testing.conformance.context import EnvironmentContext
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of
from eef_framework.validation_messages import reason

SPLITS = ("train", "dev", "test")
NO_SPLIT = "no-such-split"


def tasks_exist(context: EnvironmentContext) -> Violation | None:
    """A split has tasks."""
    if context.tasks():
        return None
    return Violation(
        rule_of(tasks_exist),
        f"split {context.split!r}",
        "at least one task",
        "none",
        "Return the tasks of the split from tasks(split), or check another split.",
    )


def results_have_their_types(context: EnvironmentContext) -> Violation | None:
    """tasks() returns Tasks, open() a Session, and its perform() Steps with finite rewards."""
    where, expected, wrong, fix = "", "", None, ""
    if odd := _not_tasks(context):
        where, wrong = odd
        expected, fix = "a list of Tasks", "Return a list of `self.new_task(split, id, ...)`."
    elif context.tasks():
        task = context.tasks()[0]
        session: object = context.environment.open(task)
        where = f"task {task.id!r}"
        if not isinstance(session, Session):
            expected, wrong = "a Session from open()", quoted(session)
            fix = "Return an object of a class derived from Session."
        else:
            with session:
                try:
                    context.random_walk(session, 1)
                except EnvironmentFailure as failure:
                    if failure.code not in ("not-a-step", "bad-reward"):
                        raise
                    expected, wrong, fix = "a Step from perform(), with a finite reward", failure.message, failure.fix
    return Violation(rule_of(results_have_their_types), where, expected, wrong, fix) if wrong is not None else None


def tasks_say_where_they_belong(context: EnvironmentContext) -> Violation | None:
    """A task names its environment and its split."""
    name = context.environment.component_name()
    for task in context.environment.tasks(context.split):
        if (task.environment, task.split) != (name, context.split):
            return Violation(
                rule_of(tasks_say_where_they_belong),
                f"task {task.id!r}",
                f"environment {name!r}, split {context.split!r}",
                f"environment {task.environment!r}, split {task.split!r}",
                "Make tasks with `self.new_task(split, id, ...)`, or set `environment` and `split` of every Task.",
            )
    return None


def splits_are_stable(context: EnvironmentContext) -> Violation | None:
    """A split always has the same tasks in the same order."""
    first, second = (list(context.environment.tasks(context.split)) for _ in range(2))
    if first == second:
        return None
    same_ids = [task.id for task in first] == [task.id for task in second]
    return Violation(
        rule_of(splits_are_stable),
        f"split {context.split!r}",
        f"{len(first)} tasks, the same at the second call",
        f"{len(second)} tasks, {'with other contents' if same_ids else 'other tasks or another order'}",
        "Sort files and sets, seed random generators with a constant, or make the list once.",
    )


def ids_are_unique(context: EnvironmentContext) -> Violation | None:
    """Task ids are unique within an environment, so no task is in two splits."""
    places: dict[str, list[str]] = {}
    for split in SPLITS:
        for task in _tasks_if_any(context, split):
            places.setdefault(task.id, []).append(split)
    for task_id, splits in places.items():
        if len(splits) > 1:
            counts = ", ".join(f"{count} in {split!r}" for split, count in Counter(splits).items())
            return Violation(
                rule_of(ids_are_unique),
                f"task {task_id!r}",
                "one task with this id",
                counts,
                "Give every task its own id, and put it in one split only.",
            )
    return None


def unknown_splits_are_refused(context: EnvironmentContext) -> Violation | None:
    """tasks() raises ConfigError for a split that doesn't exist."""
    try:
        tasks: object = context.environment.tasks(NO_SPLIT)
    except ConfigError:
        return None
    except Exception as error:
        actual = reason(error)
    else:
        actual = f"{len(tasks)} tasks" if isinstance(tasks, Sequence) else quoted(tasks)
    return Violation(
        rule_of(unknown_splits_are_refused),
        f"split {NO_SPLIT!r}",
        "ConfigError",
        actual,
        "Raise eef_framework.errors.ConfigError, and list the existing splits in its message.",
    )


def instructions_are_text(context: EnvironmentContext) -> Violation | None:
    """The instructions are text."""
    found: object = context.environment.instructions
    if isinstance(found, str):
        return None
    fix = "Return a string; an empty one if there are none."
    return Violation(rule_of(instructions_are_text), "instructions", "a string", quoted(found), fix)


def tasks_survive_the_disk(context: EnvironmentContext) -> Violation | None:
    """A task opens the same episode after it was written and read back."""
    for task in context.tasks():
        read = Task.model_validate_json(task.model_dump_json())
        with context.environment.open(task) as session, context.environment.open(read) as other:
            if read != task or session.observation != other.observation:
                name = next((each for each in Task.model_fields if getattr(task, each) != getattr(read, each)), None)
                return Violation(
                    rule_of(tasks_survive_the_disk),
                    f"task {task.id!r}",
                    f"{name} {quoted(getattr(task, name))}" if name else quoted(session.observation.text),
                    f"{name} {quoted(getattr(read, name))}" if name else quoted(other.observation.text),
                    "Open a task using only its id and `info`, and keep only JSON values in `info`.",
                )
    return None


FIRST_CHECKS = (results_have_their_types, tasks_exist)

TASK_CHECKS = (
    tasks_say_where_they_belong,
    splits_are_stable,
    ids_are_unique,
    unknown_splits_are_refused,
    instructions_are_text,
    tasks_survive_the_disk,
)


def _not_tasks(context: EnvironmentContext) -> tuple[str, str] | None:
    """Return a call of tasks() that returned something other than a list of tasks, and what that was."""
    for split in dict.fromkeys((context.split, *SPLITS)):
        found: object
        try:
            found = context.environment.tasks(split)
        except (Exception, SystemExit):
            if split == context.split:
                raise
            continue  # ids_are_unique reports it, unless the environment just lacks this split
        odd = [each for each in found if not isinstance(each, Task)] if isinstance(found, Sequence) else [found]
        if odd:
            return f"tasks({split!r})", quoted(odd[0])
    return None


def _tasks_if_any(context: EnvironmentContext, split: str) -> list[Task]:
    try:
        return list(context.environment.tasks(split))
    except ConfigError:
        return []  # an environment needn't have all splits
