"""Compares a component with itself in another process, where the order of sets and memory addresses differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError

from eef_framework.interfaces import Component
from eef_framework.records import Observation, Step, Task
from eef_framework.testing.conformance.context import EnvironmentContext, difference, observation_difference
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of

TIMEOUT_S = 600
NOT_FOUND = 3
"""Exit status of a process that can't import the component."""

ADVICE = "Sort sets, and don't use hash() and id(), which differ between processes."


class Elsewhere(NamedTuple):
    """What work in another process gave."""

    result: Any = None
    """What the work returned, as it came through JSON."""
    error: str = ""
    """Last line of what the process said, if it failed."""


def in_another_process(component: Component, work: Callable[[Any, Any], Any], given: Any = None) -> Elsewhere | None:
    """Do some work in a process that builds the component from its settings, and has another hash seed.

    Args:
        component: the component.
        work: a function at the top level of a module, called with the component and `given`.
        given: plain data.

    Returns:
        The result; None if another process can't import the component, because a function or a script defines it.
    """
    kind = type(component)
    if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
        return None
    try:
        settings = component.model_dump(mode="json")
    except PydanticSerializationError as error:
        return Elsewhere(error=str(error))
    done = _ask(
        {
            "class": [kind.__module__, kind.__qualname__],
            "settings": settings,
            "work": [work.__module__, work.__qualname__],
            "given": given,
        }
    )
    if done.returncode == NOT_FOUND:
        return None
    if done.returncode:
        return Elsewhere(error=(done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return Elsewhere(json.loads(done.stdout))


def differs_in_another_process(
    rule: Callable[..., object], component: Component, work: Callable[[Any, Any], Any], given: Any = None
) -> Violation | None:
    """Return a violation if work that gives a list has another result in another process.

    A component that can't be built from its settings isn't compared.
    """
    there = in_another_process(component, work, given)
    if there is None or there.error:
        return None
    here = json.loads(json.dumps(work(component, given)))
    if here == there.result:
        return None
    one, other = next(
        (pair for pair in zip(here, there.result, strict=False) if pair[0] != pair[1]), (here, there.result)
    )
    return Violation(rule_of(rule), "", quoted(one), quoted(other), ADVICE)


def equal_in_another_process(context: EnvironmentContext) -> Violation | None:
    """Splits are the same in another process, and the same actions lead to the same observations there."""
    tasks = context.tasks()
    given = {
        "split": context.split,
        "tasks": [task.model_dump(mode="json") for task in tasks],
        "actions": [[step.action for step in context.walk(task)] for task in tasks],
    }
    there = in_another_process(context.environment, _played, given)
    if there is None:
        return None
    rule = rule_of(equal_in_another_process)
    if there.error:
        fix = "It must be possible to build the environment from its settings alone."
        return Violation(rule, "", "the environment works there", quoted(there.error), fix)
    answer = there.result
    own = [[task.id, task.fingerprint] for task in context.environment.tasks(context.split)]
    if answer["listed"] != own:
        here, other = next(
            (pair for pair in zip(own, answer["listed"], strict=False) if pair[0] != pair[1]),
            (f"{len(own)} tasks", f"{len(answer['listed'])} tasks"),
        )
        return Violation(
            rule,
            f"the tasks of split {context.split!r}",
            f"id and fingerprint {quoted(here)}",
            f"id and fingerprint {quoted(other)}",
            f"Draw tasks with derive(seed, name, ...). {ADVICE}",
        )
    for task, played in zip(tasks, answer["played"], strict=True):
        if found := _divergence(context, task, played):
            state, name, expected, actual = found
            where = f"task {task.id!r}, state {state}"
            return Violation(rule, where, f"{name} {quoted(expected)}", f"{name} {quoted(actual)}", ADVICE)
    return None


def _divergence(
    context: EnvironmentContext, task: Task, played: dict[str, Any]
) -> tuple[int, str, object, object] | None:
    with context.environment.open(task) as session:
        initial = Observation.model_validate(played["initial"])
        if found := observation_difference(session.observation, initial):
            return 0, *found
    for number, (expected, step) in enumerate(zip(context.walk(task), played["steps"], strict=False), 1):
        if found := difference(expected, Step.model_validate(step)):
            return number, *found
    return None


def _played(environment: Any, given: Any) -> dict[str, Any]:
    """Return an environment's tasks, and the steps of episodes."""
    played = []
    listed = [[task.id, task.fingerprint] for task in environment.tasks(given["split"])]
    for task, actions in zip(given["tasks"], given["actions"], strict=True):
        with environment.open(Task.model_validate(task)) as session:
            steps = [session.step(action).model_dump(mode="json") for action in actions if not session.done]
            played.append({"initial": session.initial.model_dump(mode="json"), "steps": steps})
    return {"listed": listed, "played": played}


def _ask(request: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    # Another hash seed than in this process, so that sets of strings have another order.
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(request),
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


def _found(module: str, qualname: str) -> Any:
    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _answer() -> None:
    """Do the work requested on standard input, and write its result to standard output."""
    request = json.load(sys.stdin)
    with redirect_stdout(sys.stderr):  # components may print
        try:
            kind = _found(*request["class"])
        except (ImportError, AttributeError):
            sys.exit(NOT_FOUND)
        with kind(**request["settings"]) as component:
            result = _found(*request["work"])(component, request["given"])
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    _answer()
