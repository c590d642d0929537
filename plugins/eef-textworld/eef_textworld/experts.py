"""Experts for TextWorld: one that knows the way, and one that loses it now and then."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar, Final

from pydantic import Field

from eef_framework.interfaces import Environment, Session
from eef_framework.rollout import ScriptedExpert
from eef_textworld.environment import TextWorld
from eef_textworld.session import TextWorldSession

BACK: Final = {"go north": "go south", "go south": "go north", "go east": "go west", "go west": "go east"}


class TextWorldWalkthrough(ScriptedExpert):
    """Follows the game's own walkthrough, and so wins every game."""

    name: ClassVar[str] = "textworld-walkthrough"
    plays: ClassVar[type[Environment]] = TextWorld

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Take the commands of the walkthrough that are admissible when it comes to them."""
        assert isinstance(session, TextWorldSession)
        for command in session.secret().walkthrough:
            if session.observation.admits(command):
                yield command


class TextWorldFallible(TextWorldWalkthrough):
    """Follows the walkthrough with detours, until it loses the thread: takes wrong things, wanders, and gives up.

    A longer game offers more occasions, so that it mostly wins short games, and its failures in long ones begin well.
    """

    name: ClassVar[str] = "textworld-fallible"

    skill: float = Field(default=0.76, ge=0.0, le=1.0)
    """Chance, at every command of the walkthrough, of not losing the thread."""
    detours: float = Field(default=0.25, ge=0.0, le=1.0)
    """Chance, at every command, of a detour first: into another room and back, or taking a thing and dropping it."""
    patience: int = Field(default=4, ge=1)
    """Most commands after it has lost the thread."""

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Follow the walkthrough, and lose it."""
        assert isinstance(session, TextWorldSession)
        for command in session.secret().walkthrough:
            if not session.observation.admits(command):
                continue
            if draw.random() >= self.skill:
                yield from self._lost(session, draw, command)
                return
            if draw.random() < self.detours:
                yield from _detour(session, draw, command)
            yield command

    def _lost(self, session: Session, draw: random.Random, command: str) -> Iterator[str]:
        """Do anything but what should come next, a few times."""
        for _ in range(draw.randint(1, self.patience)):
            others = [each for each in session.observation.actions or () if each != command]
            if not others:
                return
            yield draw.choice([each for each in others if each.startswith("take ")] or others)


def _detour(session: Session, draw: random.Random, command: str) -> Iterator[str]:
    """Go somewhere and come back, or take something and drop it, so that the walkthrough still holds."""
    listed = session.observation.actions or ()
    ways = [each for each in listed if each in BACK and each != command]
    things = [each for each in listed if each.startswith("take ") and " from " not in each and each != command]
    if not (ways or things):
        return
    first = draw.choice([*ways, *things])
    yield first
    yield BACK.get(first) or f"drop {first.removeprefix('take ')}"
