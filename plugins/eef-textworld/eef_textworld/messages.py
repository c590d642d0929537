"""What is sent to the engine's process and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Mode = Literal["compact", "text"]
Part = Literal["objective", "room", "inventory"]


@dataclass(frozen=True)
class ViewOptions:
    """Format of observations.

    Attributes:
        mode: `compact`, or sentences (`text`).
        parts: contents of every observation in `text` mode.
    """

    mode: Mode = "compact"
    parts: tuple[Part, ...] = ("objective", "room", "inventory")


class View(NamedTuple):
    """A state as the player sees it."""

    text: str
    """The text of the observation."""
    actions: tuple[str, ...]
    """The listed commands."""
    score: float
    """Score divided by the highest possible score, 0 to 1."""
    won: bool
    """Whether all quests are completed."""
    lost: bool
    """Whether a quest has failed."""
    valid: bool = True
    """Whether the last command was admissible."""


class PrivilegedInfo(NamedTuple):
    """Information for experts, which agents must not see."""

    walkthrough: tuple[str, ...]
    """The commands that win the game from its start."""
    solution: tuple[str, ...]
    """The commands that win the game from this state, as far as TextWorld knows."""
    commands: tuple[str, ...]
    """All admissible commands."""
