"""The state of an episode: its setup and its actions. Any simulator can be brought into it."""

from __future__ import annotations

from typing import NamedTuple

from eef_framework.errors import ReplayDivergence
from eef_sciworld.simulator import Outcome, Setup, Simulator


class ViewOptions(NamedTuple):
    """What the view of a state contains besides the simulator's answer. Each takes time."""

    surroundings: bool = False
    """The room and the inventory."""
    actions: bool = False
    """The list of actions."""


class View(NamedTuple):
    """A view of a state."""

    outcome: Outcome
    """The answer to the last action."""
    look: str = ""
    """The description of the room, if asked for."""
    inventory: str = ""
    """The objects that the agent carries, if asked for."""
    actions: tuple[str, ...] | None = None
    """The listed actions, if asked for."""


class EpisodeState:
    """A state of an episode. It is independent of any simulator, and can be restored in any of them.

    Args:
        setup: the initial state.
        options: what views contain.
    """

    def __init__(self, setup: Setup, options: ViewOptions) -> None:
        self.setup = setup
        self.options = options
        self.actions: list[str] = []
        """The actions so far."""
        self._outcomes: list[Outcome] = []
        self._viewed = 0  # number of states of which a view was taken

    def begin(self, simulator: Simulator) -> tuple[str, View]:
        """Return the description of the task, and the first view.

        Args:
            simulator: a simulator in this state.
        """
        description, view = simulator.description(), self._view(simulator, self._outcomes[0])
        self._viewed = 1
        return description, view

    def step(self, simulator: Simulator, action: str) -> View:
        """Carry out an action and return the view of the next state. If it fails, this state stays as it was.

        Args:
            simulator: a simulator in this state.
            action: any string.
        """
        view = self._view(simulator, simulator.step(action))
        self.actions.append(action)
        self._outcomes.append(view.outcome)
        self._viewed += 1
        return view

    def restore(self, simulator: Simulator) -> None:
        """Bring a simulator into this state by replay, and compare every answer with the recorded one.

        Where actions were listed before, they are listed again, although that is slow: listing them sometimes changes
        the simulated world (in `grow-fruit`, which bees are outside).

        Raises:
            ReplayDivergence: an answer differs.
        """
        first = simulator.load(self.setup)
        if not self._outcomes:
            self._outcomes.append(first)
        self._compare(0, first)
        self._list_again(simulator, 0)
        for number, action in enumerate(self.actions, 1):
            self._compare(number, simulator.step(action))
            self._list_again(simulator, number)

    def copy(self) -> EpisodeState:
        """Return an independent copy."""
        copy = EpisodeState(self.setup, self.options)
        copy.actions, copy._outcomes = list(self.actions), list(self._outcomes)
        copy._viewed = self._viewed
        return copy

    def _view(self, simulator: Simulator, outcome: Outcome) -> View:
        look, inventory = (simulator.look(), simulator.inventory()) if self.options.surroundings else ("", "")
        return View(outcome, look, inventory, simulator.understood_actions() if self.options.actions else None)

    def _list_again(self, simulator: Simulator, number: int) -> None:
        if self.options.actions and number < self._viewed:
            simulator.understood_actions()

    def _compare(self, number: int, actual: Outcome) -> None:
        if actual != (expected := self._outcomes[number]):
            raise ReplayDivergence(
                f"{self.setup.task} {self.setup.variation}, restored to state {len(self.actions)}, diverged in state "
                f"{number}: expected {expected}, got {actual}",
                "Please report this: this plugin runs the simulator in a way that makes it deterministic.",
                state=number,
                expected=str(expected),
                actual=str(actual),
            )
