"""All games in progress, controlled by five requests with plain answers. Runs in a separate process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from eef_textworld.games import GameSpec, make_game
from eef_textworld.play import Play
from eef_textworld.views import Mode, Part, compact, description, text

if TYPE_CHECKING:
    from textworld import Game


class View(NamedTuple):
    """A state as the player sees it."""

    text: str
    actions: tuple[str, ...]
    score: float
    """Share of the highest score, 0 to 1."""
    won: bool
    lost: bool
    valid: bool = True
    """Whether the last command was admissible."""


class Secret(NamedTuple):
    """What only experts may know."""

    walkthrough: tuple[str, ...]
    """The commands that win from the start."""
    solution: tuple[str, ...]
    """The commands that win from here, as far as TextWorld knows."""
    commands: tuple[str, ...]
    """All admissible commands."""


@dataclass(frozen=True)
class Look:
    """How games read."""

    mode: Mode = "compact"
    parts: tuple[Part, ...] = ("objective", "room", "inventory")


class Engine:
    """The games in progress.

    Args:
        look: how games read.
        games: how many games are kept for the next who play them.
    """

    def __init__(self, look: Look, games: int) -> None:
        self._look = look
        self._capacity = games
        self._games: OrderedDict[str, Game] = OrderedDict()
        self._plays: dict[int, Play] = {}
        self._next = 0

    def open(self, info: dict[str, Any], commands: Sequence[str] = ()) -> tuple[int, View]:
        """Start a game and carry out some commands; return the number it is played under, and how it looks."""
        play = Play(self._game(GameSpec.of(info)))
        view = self._view(play)
        for command in commands:
            view = self._take(play, command)
        return self._add(play), view

    def step(self, number: int, command: str) -> View:
        """Carry out a command."""
        return self._take(self._plays[number], command)

    def fork(self, number: int) -> int:
        """Copy a game in progress; return the copy's number."""
        return self._add(self._plays[number].copy())

    def tell(self, number: int) -> Secret:
        """Return what only experts may know."""
        play = self._plays[number]
        return Secret(tuple(play.game.walkthrough or ()), play.solution, play.commands)

    def close(self, number: int) -> None:
        """Forget a game in progress."""
        self._plays.pop(number, None)

    def count(self) -> tuple[int, int]:
        """Return how many games are in progress, and how many are kept."""
        return len(self._plays), len(self._games)

    def _game(self, spec: GameSpec) -> Game:
        key = repr(spec)
        if key not in self._games:
            self._games[key] = make_game(spec)
            if len(self._games) > self._capacity:
                self._games.popitem(last=False)
        self._games.move_to_end(key)
        return self._games[key]

    def _add(self, play: Play) -> int:
        self._next += 1
        self._plays[self._next] = play
        return self._next

    def _take(self, play: Play, command: str) -> View:
        valid = play.take(command)
        feedback = f"You {command}." if valid else "You can't do that."
        if valid and command.startswith("examine "):
            feedback = description(play, command.removeprefix("examine ")) or feedback
        return self._view(play, feedback, valid)

    def _view(self, play: Play, feedback: str = "", valid: bool = True) -> View:
        if self._look.mode == "compact":
            shown = compact(play, play.game.metadata["goal"])
        else:
            shown = text(play, str(play.game.objective), feedback, self._look.parts)
        return View(*shown, score=play.score, won=play.won, lost=play.lost, valid=valid)
