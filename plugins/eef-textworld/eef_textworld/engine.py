"""The engine: all games in progress. Runs in a separate process."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from eef_textworld._compat.textworld import Game
from eef_textworld.game_state import GameState
from eef_textworld.games import make_game
from eef_textworld.messages import PrivilegedInfo, View, ViewOptions
from eef_textworld.spec import GameSpec
from eef_textworld.views import compact, description, text


class Engine:
    """All games in progress. Each is known by a number.

    Args:
        options: format of observations.
        cached_games: number of games to cache for further episodes.
    """

    def __init__(self, options: ViewOptions, cached_games: int) -> None:
        self._options = options
        self._cached_games = cached_games
        self._games: dict[str, Game] = {}
        self._keys: list[str] = []
        self._random = Random(0)
        self._states: dict[int, GameState] = {}
        self._last = 0

    def open(self, info: dict[str, Any], commands: Sequence[str] = ()) -> tuple[int, View]:
        """Start a game and carry out some commands; return its number and the view of its state.

        Args:
            info: the game's spec, as plain data.
            commands: the commands.
        """
        state = GameState(self._game(GameSpec.of(info)))
        view = self._view(state)
        for command in commands:
            view = self._step(state, command)
        return self._add(state), view

    def step(self, number: int, command: str) -> View:
        """Carry out a command."""
        return self._step(self._states[number], command)

    def fork(self, number: int) -> int:
        """Copy a game in progress and return the copy's number."""
        return self._add(self._states[number].copy())

    def privileged_info(self, number: int) -> PrivilegedInfo:
        """Return information for experts, which agents must not see."""
        state = self._states[number]
        return PrivilegedInfo(tuple(state.game.walkthrough or ()), state.solution, state.commands)

    def close(self, number: int) -> None:
        """Discard a game in progress."""
        self._states.pop(number, None)

    def count(self) -> tuple[int, int]:
        """Return the number of games in progress and of cached games."""
        return len(self._states), len(self._games)

    def _game(self, spec: GameSpec) -> Game:
        key = repr(spec)
        if key not in self._games:
            self._games[key] = make_game(spec)
            self._keys.append(key)
            if len(self._keys) > self._cached_games:
                # A random one makes room: runs take their tasks in turn, so that the oldest is needed next.
                place = self._random.randrange(self._cached_games)
                del self._games[self._keys[place]]
                self._keys[place] = self._keys.pop()
        return self._games[key]

    def _add(self, state: GameState) -> int:
        self._last += 1
        self._states[self._last] = state
        return self._last

    def _step(self, state: GameState, command: str) -> View:
        valid = state.step(command)
        feedback = f"You {command}." if valid else "You can't do that."
        if valid and command.startswith("examine "):
            feedback = description(state, command.removeprefix("examine ")) or feedback
        return self._view(state, feedback, valid)

    def _view(self, state: GameState, feedback: str = "", valid: bool = True) -> View:
        if self._options.mode == "compact":
            shown = compact(state, state.game.metadata["goal"])
        else:
            shown = text(state, str(state.game.objective), feedback, self._options.parts)
        return View(*shown, score=state.score, won=state.won, lost=state.lost, valid=valid)
