"""One game in progress: TextWorld's own progression of the state, and what the player has seen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from textworld import Game
    from textworld.generator.game import GameProgression
    from textworld.logic import Action, Proposition


class Play:
    """A game in progress. What TextWorld's environment for JSON games does, without what nobody asked for.

    Attributes:
        game: what is played; shared by all who play it.
        visited: ids of the rooms the player has been in.
        read: what was read last, in words: the text of a cookbook or a note.
    """

    def __init__(self, game: Game) -> None:
        from textworld.generator.game import GameProgression

        self.game = game
        self._progression = GameProgression(game)
        self._commands: dict[str, Action] = {}
        self.visited: frozenset[str] = frozenset()
        self.read = ""
        self._look()

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
        """The share of the highest score reached so far, 0 to 1."""
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
        """All that is true, whether the player sees it or not; in no particular order."""
        return list(self._progression.state.facts)

    @property
    def solution(self) -> tuple[str, ...]:
        """The commands that win from here, as far as TextWorld knows."""
        policy = self._progression.winning_policy
        return tuple(self._in_words(action) for action in policy or ())

    def take(self, command: str) -> bool:
        """Carry out a command; return whether it is admissible. One that isn't changes nothing."""
        action = self._commands.get(command)
        if action is None:
            return False
        self._progression.update(action)
        if command.startswith("examine "):
            self._read(command.removeprefix("examine "))
        self._look()
        return True

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = copy.copy(self)  # the rest is never changed, only replaced
        twin._progression = _copy(self._progression)
        return twin

    def name(self, key: str) -> str:
        """Return the name of a thing or room."""
        return self.game.infos[key].name or key

    def _look(self) -> None:
        commands: dict[str, Action] = {}
        for action in self._progression.valid_actions:
            words = self._in_words(action)
            # Several actions may have the same words; which comes first in TextWorld's list differs between processes.
            if words not in commands or str(action) < str(commands[words]):
                commands[words] = action
        self._commands = {words: commands[words] for words in sorted(commands)}
        here = {fact.arguments[1].name for fact in self.facts if fact.name == "at" and fact.arguments[0].name == "P"}
        self.visited |= here

    def _read(self, name: str) -> None:
        for info in self.game.infos.values():
            if info.name == name and name in ("cookbook", "note"):
                self.read = " ".join(str(info.desc or "").split())

    def _in_words(self, action: Action) -> str:
        return str(action.format_command({variable.name: self.name(variable.name) for variable in action.variables}))


def _copy(progression: GameProgression) -> GameProgression:
    """Copy a progression as its own `copy` does, which first lists all admissible actions again (most of its time)."""
    twin = copy.copy(progression)
    twin.state = progression.state.copy()
    twin.quest_progressions = [quest.copy() for quest in progression.quest_progressions]
    return twin
