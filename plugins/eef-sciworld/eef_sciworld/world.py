"""An episode's state, wherever it is played: what it began with and what has been done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eef_framework.errors import ReplayDivergence
from eef_sciworld.simulator import Outcome, Setup, Simulator

if TYPE_CHECKING:
    from eef_sciworld.slots import Slots


class Wanted(NamedTuple):
    """What is asked of the simulator in every state, besides its answer. Each costs time."""

    surroundings: bool = False
    actions: bool = False


class View(NamedTuple):
    """The view of a state."""

    outcome: Outcome
    look: str = ""
    inventory: str = ""
    actions: tuple[str, ...] | None = None


class World:
    """A state that needs no simulator while nobody acts in it, and can be restored in any.

    Args:
        slots: where simulators are.
        setup: what it begins with.
        wanted: what is asked for in every state.
    """

    def __init__(self, slots: Slots, setup: Setup, wanted: Wanted) -> None:
        self.setup = setup
        self.wanted = wanted
        self.actions: list[str] = []
        self._outcomes: list[Outcome] = []
        self._viewed = 0  # in how many states there was a view, with whatever is wanted
        self._slots = slots

    def begin(self) -> tuple[str, View]:
        """Return the task in words, and the first view."""
        task, view = self._slots.run(
            lambda simulator: (simulator.description(), self._view(simulator, self._outcomes[0])), self
        )
        self._viewed = 1
        return task, view

    def step(self, action: str) -> View:
        """Carry out an action.

        Raises:
            EnvironmentFailure: the simulator died twice of it, or could not be restored to this state.
        """
        view = self._slots.run(lambda simulator: self._view(simulator, simulator.step(action)), self)
        self.actions.append(action)
        self._outcomes.append(view.outcome)
        self._viewed += 1
        return view

    def restore(self, simulator: Simulator) -> None:
        """Bring a simulator into this state, by replay, and compare every answer with the one remembered.

        Actions are listed where they were before, as slow as that is: now and then the simulator changes the
        world when it lists them (bees swarm otherwise in `grow-fruit`).

        Raises:
            ReplayDivergence: one differs.
        """
        first = simulator.load(self.setup)
        if not self._outcomes:
            self._outcomes.append(first)
        self._compare(0, first)
        self._list_again(simulator, 0)
        for state, action in enumerate(self.actions, 1):
            self._compare(state, simulator.step(action))
            self._list_again(simulator, state)

    def copy(self) -> World:
        """Return an independent world in the same state. Takes no simulator until something is done in it."""
        copy = World(self._slots, self.setup, self.wanted)
        copy.actions, copy._outcomes = list(self.actions), list(self._outcomes)
        copy._viewed = self._viewed
        return copy

    def forget(self) -> None:
        """Release the simulator for others."""
        self._slots.forget(self)

    def _view(self, simulator: Simulator, outcome: Outcome) -> View:
        look, inventory = (simulator.look(), simulator.inventory()) if self.wanted.surroundings else ("", "")
        return View(outcome, look, inventory, simulator.understood_actions() if self.wanted.actions else None)

    def _list_again(self, simulator: Simulator, state: int) -> None:
        if self.wanted.actions and state < self._viewed:
            simulator.understood_actions()

    def _compare(self, state: int, actual: Outcome) -> None:
        if actual != (expected := self._outcomes[state]):
            raise ReplayDivergence(
                f"{self.setup.task} {self.setup.variation}, brought back into state {len(self.actions)}, diverged in "
                f"state {state}: expected {expected}, got {actual}",
                "Please report this: the simulator is meant to be deterministic as this plugin runs it.",
                state=state,
                expected=str(expected),
                actual=str(actual),
            )
