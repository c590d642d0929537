"""Compares an environment with itself in another process, where the order of sets and memory addresses differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from typing import Any

from eef_framework.records import Observation, Step, Task
from eef_framework.testing.conformance.context import EnvironmentContext, difference
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of

TIMEOUT_S = 600
NOT_FOUND = 3
"""Exit status of a process that can't import the environment."""


def equal_in_another_process(context: EnvironmentContext) -> Violation | None:
    """Splits are the same in another process, and the same actions lead to the same observations there."""
    kind = type(context.environment)
    if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
        return None  # another process can't import classes that a function or a script defines
    tasks = context.tasks()
    request = {
        "class": [kind.__module__, kind.__qualname__],
        "settings": context.environment.model_dump(mode="json"),
        "split": context.split,
        "tasks": [task.model_dump(mode="json") for task in tasks],
        "actions": [[step.action for step in context.walk(task)] for task in tasks],
    }
    other = _ask(request)
    if other.returncode == NOT_FOUND:
        return None
    rule = rule_of(equal_in_another_process)
    if other.returncode:
        last_line = (other.stderr.strip().splitlines() or [f"exit status {other.returncode}"])[-1]
        fix = "It must be possible to build the environment from its settings alone."
        return Violation(rule, "", "the environment works there", quoted(last_line), fix)
    answer = json.loads(other.stdout)
    own = [[task.id, task.fingerprint] for task in context.environment.tasks(context.split)]
    if answer["listed"] != own:
        here, there = next(
            (pair for pair in zip(own, answer["listed"], strict=False) if pair[0] != pair[1]),
            (f"{len(own)} tasks", f"{len(answer['listed'])} tasks"),
        )
        return Violation(
            rule,
            f"the tasks of split {context.split!r}",
            f"id and fingerprint {quoted(here)}",
            f"id and fingerprint {quoted(there)}",
            "Draw tasks with derive(seed, name, ...), sort sets, and don't use hash() and id(), which differ between "
            "processes.",
        )
    for task, played in zip(tasks, answer["played"], strict=True):
        if found := _divergence(context, task, played):
            state, name, expected, actual = found
            return Violation(
                rule,
                f"task {task.id!r}, state {state}",
                f"{name} {quoted(expected)}",
                f"{name} {quoted(actual)}",
                "Sort sets, and don't use hash() and id(), which differ between processes.",
            )
    return None


def _divergence(
    context: EnvironmentContext, task: Task, played: dict[str, Any]
) -> tuple[int, str, object, object] | None:
    with context.environment.open(task) as session:
        initial = Observation.model_validate(played["initial"])
        if session.observation != initial:
            return 0, "observation", session.observation.text, initial.text
    for number, (expected, step) in enumerate(zip(context.walk(task), played["steps"], strict=False), 1):
        if found := difference(expected, Step.model_validate(step)):
            return number, *found
    return None


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


def _answer() -> None:
    """Play the episodes requested on standard input, and write their steps to standard output."""
    request = json.load(sys.stdin)
    module, qualname = request["class"]
    try:
        kind: Any = import_module(module)
        for part in qualname.split("."):
            kind = getattr(kind, part)
    except (ImportError, AttributeError):
        sys.exit(NOT_FOUND)
    played = []
    with kind(**request["settings"]) as environment:
        listed = [[task.id, task.fingerprint] for task in environment.tasks(request["split"])]
        for task, actions in zip(request["tasks"], request["actions"], strict=True):
            with environment.open(Task.model_validate(task)) as session:
                steps = [session.step(action).model_dump(mode="json") for action in actions if not session.done]
                played.append({"initial": session.initial.model_dump(mode="json"), "steps": steps})
    json.dump({"listed": listed, "played": played}, sys.stdout)


if __name__ == "__main__":
    _answer()
