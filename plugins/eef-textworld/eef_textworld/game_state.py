"""A game in progress: TextWorld's progression of the game, and what the player has visited and read."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

from eef_textworld._compat.textworld import Action, Game, GameProgression, Proposition, copy_progression


class GameState:
    """The state of a game. Does what TextWorld's environment for JSON games does, but computes only what is needed.

    Attributes:
        game: the game, shared by all its states.
        visited: ids of the rooms that the player has visited.
        last_read: the text of the cookbook or note that the player has read last.
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self._progression = GameProgression(game)
        self._commands: dict[str, Action] = {}
        self.visited: frozenset[str] = frozenset()
        self.last_read = ""
        self._update()

    @property
    def won(self) -> bool:
        """Whether all quests are completed."""
        return bool(self._progression.completed)

    @property
    def lost(self) -> bool:
        """Whether a quest has failed, or can't be completed any more."""
        return bool(self._progression.failed) and not self.won

    @property
    def over(self) -> bool:
        """Whether the game has ended."""
        return self.won or self.lost

    @property
    def score(self) -> float:
        """Score divided by the highest possible score, 0 to 1."""
        if self.won:
            return 1.0
        highest = self.game.max_score
        return min(1.0, float(self._progression.score / highest)) if highest else 0.0

    @property
    def commands(self) -> tuple[str, ...]:
        """The admissible commands, sorted."""
        return tuple(self._commands)

    @property
    def facts(self) -> Sequence[Proposition]:
        """All facts, visible to the player or not, in no particular order."""
        return list(self._progression.state.facts)

    @property
    def solution(self) -> tuple[str, ...]:
        """The commands that win from this state, as far as TextWorld knows."""
        policy = self._progression.winning_policy
        return tuple(self._command(action) for action in policy or ())

    def step(self, command: str) -> bool:
        """Carry out a command and return whether it is admissible. An inadmissible one changes nothing."""
        action = self._commands.get(command)
        if action is None:
            return False
        self._progression.update(action)
        if command.startswith("examine "):
            self._read(command.removeprefix("examine "))
        self._update()
        return True

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = copy.copy(self)  # all other attributes are replaced, never changed in place
        twin._progression = copy_progression(self._progression)
        return twin

    def name(self, key: str) -> str:
        """Return the name of an object or room, given its id."""
        return self.game.infos[key].name or key

    def _update(self) -> None:
        commands: dict[str, Action] = {}
        for action in self._progression.valid_actions:
            command = self._command(action)
            # Several actions may have the same command, and the order of TextWorld's list differs between processes.
            if command not in commands or str(action) < str(commands[command]):
                commands[command] = action
        self._commands = {command: commands[command] for command in sorted(commands)}
        here = {fact.arguments[1].name for fact in self.facts if fact.name == "at" and fact.arguments[0].name == "P"}
        self.visited |= here

    def _read(self, name: str) -> None:
        for info in self.game.infos.values():
            if info.name == name and name in ("cookbook", "note"):
                self.last_read = " ".join(str(info.desc or "").split())

    def _command(self, action: Action) -> str:
        return str(action.format_command({variable.name: self.name(variable.name) for variable in action.variables}))
