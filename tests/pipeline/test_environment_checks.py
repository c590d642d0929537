"""What an environment returns is checked where a run meets it first."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eef_framework.config.schema import TaskList
from eef_framework.errors import EnvironmentFailure
from eef_framework.pipeline.context import RunContext
from eef_framework.plugins import Registry
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.small_run import small_config


class Wrong(Corridor):
    """A corridor that returns what it is told to."""

    name = "wrong"
    listed: Any = None
    """What `tasks` returns; a function is called with the tasks of the corridor."""
    said: Any = ""
    """What `instructions` is; an exception is raised."""

    def tasks(self, split: str) -> Any:
        return self.listed(super().tasks(split)) if callable(self.listed) else self.listed

    @property
    def instructions(self) -> Any:
        if isinstance(self.said, BaseException):
            raise self.said
        return self.said


@contextmanager
def context_of(**settings: Any) -> Iterator[RunContext]:
    with RunContext(small_config(environment=Wrong(**settings)), Registry()) as context:
        yield context


@pytest.mark.parametrize("listed", [None, 3, {"a": 1}, ["a", "b"], "tasks", lambda tasks: (task for task in tasks)])
def test_what_are_not_tasks_is_refused(listed: object) -> None:
    with context_of(listed=listed) as context, pytest.raises(EnvironmentFailure) as caught:
        context.tasks(TaskList(split="train"))
    assert caught.value.code == "not-tasks"
    assert caught.value.details["split"] == "train"


def test_two_tasks_of_one_id_are_refused_where_both_are_used() -> None:
    with context_of(listed=lambda tasks: [tasks[0], tasks[1], tasks[1]]) as context:
        assert len(context.tasks(TaskList(split="train", count=2))) == 2
        with pytest.raises(EnvironmentFailure) as caught:
            context.tasks(TaskList(split="train"))
        assert caught.value.code == "repeated-task"
        assert caught.value.details["task"] == context.tasks(TaskList(split="train", count=2))[1].id


@pytest.mark.parametrize(
    ("said", "code"),
    [(None, "instructions-not-text"), (b"Go.", "instructions-not-text"), (KeyError("x"), "environment-failed")],
)
def test_instructions_that_cannot_be_shown_are_refused_before_anything_starts(said: object, code: str) -> None:
    with context_of(said=said) as context, pytest.raises(EnvironmentFailure) as caught:
        context.preflight([context.environment])
    assert caught.value.code == code
