"""Experts for TextWorld: one that follows the walkthrough, and one that makes mistakes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar, Final

from pydantic import Field

from eef_framework.interfaces import Environment, Session
from eef_framework.rollout import ScriptedExpert
from eef_textworld.environment import TextWorld
from eef_textworld.session import TextWorldSession

OPPOSITE: Final = {"go north": "go south", "go south": "go north", "go east": "go west", "go west": "go east"}


class TextWorldWalkthrough(ScriptedExpert):
    """Follows the game's walkthrough and wins every game. From a later state it takes the commands that are left."""

    name: ClassVar[str] = "textworld-walkthrough"
    plays: ClassVar[type[Environment]] = TextWorld
    continues: ClassVar[bool] = True

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Follow the walkthrough, without commands that are inadmissible when they are due."""
        assert isinstance(session, TextWorldSession)
        for command in _commands(session):
            if session.observation.admits(command):
                yield command


class TextWorldFallible(TextWorldWalkthrough):
    """Follows the walkthrough with detours until it loses track: it then takes wrong objects, wanders, and gives up.

    It may lose track at every command, so it wins short games more often, and its failures in long ones begin
    correctly.
    """

    name: ClassVar[str] = "textworld-fallible"

    skill: float = Field(default=0.76, ge=0.0, le=1.0)
    """Probability, at every command of the walkthrough, of not losing track."""
    detours: float = Field(default=0.25, ge=0.0, le=1.0)
    """Probability of a detour before a command: to another room and back, or taking an object and dropping it."""
    patience: int = Field(default=4, ge=1)
    """Maximum number of commands after losing track."""
    hard: tuple[str, ...] = ()
    """First words of commands that are hard for this expert, such as `unlock`: its successes don't show them, its
    failures do. It loses track after such a command, before one that would win, and then never does what is needed."""
    hard_skill: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability, at a hard command, of not losing track."""

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Follow the walkthrough with detours, until the expert loses track."""
        assert isinstance(session, TextWorldSession)
        commands = _commands(session)
        for command in commands:
            if not session.observation.admits(command):
                continue
            too_hard = command.split()[0] in self.hard and draw.random() >= self.hard_skill
            if draw.random() >= self.skill or (too_hard and command == commands[-1]):
                yield from self._lost_track(session, draw, command)
                return
            if draw.random() < self.detours:
                yield from _detour(session, draw, command)
            yield command
            if too_hard:
                yield from self._lost_track(session, draw, command)
                return

    def _lost_track(self, session: TextWorldSession, draw: random.Random, command: str) -> Iterator[str]:
        """Yield a few wrong commands."""
        for _ in range(draw.randint(1, self.patience)):
            right = {command, *(session.privileged_info().solution[:1] if self.hard else ())}
            others = [each for each in session.observation.actions or () if each not in right]
            if not others:
                return
            yield draw.choice([each for each in others if each.startswith("take ")] or others)


def _commands(session: TextWorldSession) -> tuple[str, ...]:
    """Return the commands that win the game."""
    info = session.privileged_info()
    return info.solution if session.steps else info.walkthrough


def _detour(session: Session, draw: random.Random, command: str) -> Iterator[str]:
    """Go to another room and back, or take an object and drop it, so that the walkthrough remains valid."""
    listed = session.observation.actions or ()
    ways = [each for each in listed if each in OPPOSITE and each != command]
    objects = [each for each in listed if each.startswith("take ") and " from " not in each and each != command]
    if not (ways or objects):
        return
    first = draw.choice([*ways, *objects])
    yield first
    yield OPPOSITE.get(first) or f"drop {first.removeprefix('take ')}"
