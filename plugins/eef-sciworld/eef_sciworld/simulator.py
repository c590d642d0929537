"""One simulator, which plays one episode after another."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from eef_framework.errors import EnvironmentFailure
from eef_sciworld._compat.py4j import Py4JError, longer_timeout
from eef_sciworld._compat.scienceworld import NOT_UNDERSTOOD
from eef_sciworld.jvm import Jvm
from eef_sciworld.unreachable_objects import unreachable_objects

SOLVER_TIMEOUT_FACTOR = 10
"""How many times longer than any other call the solver may take: it plays the whole episode."""


class Setup(NamedTuple):
    """The initial state of an episode. Its repr is part of the fingerprint of tasks."""

    task: str
    """Name of the task type, such as `find-plant`."""
    variation: int
    """Number of the variation of the task type."""
    simplification: str
    """ScienceWorld's simplifications, such as `easy`, joined by commas."""


class Outcome(NamedTuple):
    """The simulator's answer to an action."""

    text: str
    """The observation."""
    score: int
    """0 to 100; negative if the task has failed irrevocably."""
    completed: bool
    """Whether the task has ended."""
    understood: bool = True
    """Whether the simulator understood the action."""


class Simulator:
    """A ScienceWorld simulator in a JVM. Not thread-safe.

    Args:
        jvm: the JVM to create it in.

    Raises:
        JvmLost: the JVM has died.
    """

    def __init__(self, jvm: Jvm) -> None:
        self._gateway, self._interface = jvm.interface()

    def load(self, setup: Setup) -> Outcome:
        """Start an episode and look around, as ScienceWorld's own `reset` does.

        Raises:
            EnvironmentFailure: the task doesn't exist.
        """
        if problem := self._interface.load(*setup, False):
            raise EnvironmentFailure(f"ScienceWorld can't load {setup}: {problem}", "Take tasks from `tasks(split)`.")
        return self.step("look around")

    def step(self, action: str) -> Outcome:
        """Carry out an action. An action on which the simulator fails counts as not understood."""
        try:
            text = str(self._interface.step(action))
        except Py4JError as error:
            text = f"{NOT_UNDERSTOOD[1]} ({_java_error(error)})"
        score = round(100 * self._interface.getScore())
        understood = not text.startswith(NOT_UNDERSTOOD)
        return Outcome(text, score, bool(self._interface.getCompleted()), understood)

    def look(self) -> str:
        """Return the description of the room. Takes no time in the simulated world."""
        return str(self._interface.freeActionLook())

    def inventory(self) -> str:
        """Return the list of objects that the agent carries. Takes no time in the simulated world."""
        return str(self._interface.freeActionInventory())

    def description(self) -> str:
        """Return the description of the task."""
        return str(self._interface.getTaskDescription())

    def valid_actions(self) -> tuple[str, ...]:
        """Return the actions that ScienceWorld lists in this state, sorted. Takes ten times as long as a step."""
        return self._strings(self._interface.getValidActionObjectCombinations())

    def understood_actions(self) -> tuple[str, ...]:
        """Return the listed actions that ScienceWorld understands, sorted.

        Up to half of the listed actions name an object that can't be named where it is, such as a cup in a closed
        cupboard.
        """
        listed = json.loads(str(self._interface.getValidActionObjectCombinationsJSON()))["validActions"]
        unreachable = unreachable_objects(json.loads(str(self._interface.getObjectTree(""))))
        return tuple(
            sorted(
                each["action"]
                for each in listed
                # A number answers a question of the simulator.
                if each["action"].isdecimal() or unreachable.isdisjoint(map(str, each["obj_ids"]))
            )
        )

    def gold_path(self, setup: Setup) -> tuple[str, ...]:
        """Start an episode, and return actions that solve it. Takes up to several seconds."""
        with longer_timeout(self._gateway, SOLVER_TIMEOUT_FACTOR):
            self._interface.load(*setup, True)
        return self._strings(self._interface.getGoldActionSequence())

    def variations(self, task: str) -> int:
        """Return the number of variations of a task type."""
        return int(self._interface.getTaskMaxVariations(task))

    def _strings(self, found: Any) -> tuple[str, ...]:
        # Joined in Java, because reading an element is a call of its own.
        joined = str(self._gateway.jvm.java.lang.String.join("\n", found))
        self._gateway.detach(found)
        return tuple(joined.split("\n")) if joined else ()


def _java_error(error: Exception) -> str:
    return str(getattr(error, "java_exception", error)).split("\n")[0]
