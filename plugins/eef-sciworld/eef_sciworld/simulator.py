"""One simulator: plays one episode after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from eef_framework.errors import EnvironmentFailure
from eef_sciworld.hidden import hidden_objects

if TYPE_CHECKING:
    from eef_sciworld.jvm import Jvm


class Setup(NamedTuple):
    """What an episode begins with."""

    task: str
    """The task type's name, such as `find-plant`."""
    variation: int
    simplification: str
    """ScienceWorld's, such as `easy`, or several joined by commas."""


class Outcome(NamedTuple):
    """What the simulator answers to an action."""

    text: str
    score: int
    """0 to 100; negative where the task has failed for good."""
    completed: bool
    understood: bool = True


SOLUTION_TAKES = 10
"""How many times longer than any other call finding a solution may take: it plays the whole episode."""
NOT_UNDERSTOOD = ("No known action matches that input.", "Unknown action.")


class Simulator:
    """A world in a JVM. Use it from one thread at a time.

    Args:
        jvm: where it lives.
    """

    def __init__(self, jvm: Jvm) -> None:
        self._line, self._interface = jvm.interface()

    def load(self, setup: Setup) -> Outcome:
        """Start an episode, and look around as ScienceWorld's own `reset` does.

        Raises:
            EnvironmentFailure: the task doesn't exist.
        """
        if problem := self._interface.load(*setup, False):
            raise EnvironmentFailure(f"ScienceWorld can't load {setup}: {problem}", "Take tasks from `tasks(split)`.")
        return self.step("look around")

    def step(self, action: str) -> Outcome:
        """Carry out an action. One that makes the simulator fail is not understood."""
        from py4j.protocol import Py4JError

        try:
            text = str(self._interface.step(_sendable(action)))
        except Py4JError as error:
            text = f"{NOT_UNDERSTOOD[1]} ({_java_error(error)})"
        score = round(100 * self._interface.getScore())
        understood = not text.startswith(NOT_UNDERSTOOD)
        return Outcome(text, score, bool(self._interface.getCompleted()), understood)

    def look(self) -> str:
        """Return what the room looks like; takes no time in the world."""
        return str(self._interface.freeActionLook())

    def inventory(self) -> str:
        """Return what the agent carries; takes no time in the world."""
        return str(self._interface.freeActionInventory())

    def description(self) -> str:
        """Return the task in words."""
        return str(self._interface.getTaskDescription())

    def valid_actions(self) -> tuple[str, ...]:
        """Return the actions that ScienceWorld lists here, sorted. Takes ten times as long as a step."""
        return self._strings(self._interface.getValidActionObjectCombinations())

    def understood_actions(self) -> tuple[str, ...]:
        """Return the listed actions that ScienceWorld understands, sorted.

        Up to half of what it lists names something that can't be named where it is, such as a cup in a closed cupboard.
        """
        listed = json.loads(str(self._interface.getValidActionObjectCombinationsJSON()))["validActions"]
        hidden = hidden_objects(json.loads(str(self._interface.getObjectTree(""))))
        return tuple(
            sorted(
                each["action"]
                for each in listed
                # A number chooses from what the simulator itself offers.
                if each["action"].isdecimal() or hidden.isdisjoint(map(str, each["obj_ids"]))
            )
        )

    def gold_path(self, setup: Setup) -> tuple[str, ...]:
        """Start an episode, and return actions that solve it. Takes up to some seconds."""
        with self._patience(SOLUTION_TAKES):
            self._interface.load(*setup, True)
        return self._strings(self._interface.getGoldActionSequence())

    def variations(self, task: str) -> int:
        """Return how many variations a task type has."""
        return int(self._interface.getTaskMaxVariations(task))

    @contextmanager
    def _patience(self, times: int) -> Iterator[None]:
        client = self._line._gateway_client
        client.wait_longer(times)
        try:
            yield
        finally:
            client.wait_longer(1)

    def _strings(self, found: Any) -> tuple[str, ...]:
        # Joined over there: every element would be a call of its own.
        joined = str(self._line.jvm.java.lang.String.join("\n", found))
        self._line.detach(found)
        return tuple(joined.split("\n")) if joined else ()


def _sendable(action: str) -> str:
    """Return an action without characters that can't be sent (half a surrogate pair)."""
    return action.encode("utf-8", "replace").decode("utf-8")


def _java_error(error: Exception) -> str:
    return str(getattr(error, "java_exception", error)).split("\n")[0]
