"""Experts for ScienceWorld: one that follows the solution, and one that makes mistakes."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from eef_framework.interfaces import Environment, Session
from eef_framework.rollout import ScriptedExpert
from eef_sciworld.environment import SciWorld
from eef_sciworld.views import ROOMS

OBSERVING = ("look around", "inventory", "wait1")
WITHOUT_EFFECT = re.compile(r"^(open door to .+|look around)$")
CHOICE = re.compile(r"^(?P<verb>focus on|pick up) (?P<object>.+)$")


class GoldExpert(ScriptedExpert):
    """Follows the simulator's own solution."""

    name: ClassVar[str] = "sciworld-gold"

    brief: bool = False
    """Omit actions of the solution that have no effect under the simplification `easy`: opening open doors, and looking
    around, which is part of the compact view."""
    plays: ClassVar[type[Environment]] = SciWorld

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Follow the solution."""
        yield from (_listed(action, session) for action in self._solution(session))

    def _solution(self, session: Session) -> tuple[str, ...]:
        assert isinstance(session.environment, SciWorld)
        path = session.environment.gold_path(session.task)
        return tuple(action for action in path if not WITHOUT_EFFECT.match(action)) if self.brief else path


class FallibleExpert(GoldExpert):
    """Follows the solution with detours and mistakes: it takes a wrong object, or stops early.

    A detour only costs steps: the expert returns. Whether an episode has a mistake that fails the task is decided once
    per episode.
    """

    name: ClassVar[str] = "sciworld-fallible"

    skill: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability of an episode without a mistake that fails the task."""
    wandering: float = Field(default=0.15, ge=0.0, le=1.0)
    """Probability of a detour before an action: looking around, or going to another room and back."""
    hard: tuple[str, ...] = ()
    """Beginnings of actions that are hard for this expert, such as `pick up`: its successes don't show them, its
    failures do."""
    hard_skill: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability, after a hard action, of not losing track."""
    patience: int = Field(default=0, ge=0)
    """Maximum number of actions after losing track, in which it only looks around and waits. With 0 a hard action is
    the last one, and no state after it is probed."""

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Follow the solution, with detours and at most one mistake."""
        path = self._solution(session)
        mistake, at = self._mistake(path, draw)
        for number, action in enumerate(path):
            if mistake == "stops early" and number == at:
                return
            if draw.random() < self.wandering:
                yield from _detour(path[:number], draw)
            if mistake == "takes a wrong object" and number == at:
                yield _with_wrong_object(action, session, draw)
            else:
                yield _listed(action, session)
            if action.startswith(self.hard) and draw.random() >= self.hard_skill:
                yield from (
                    draw.choice(OBSERVING) for _ in range(draw.randint(1, self.patience) if self.patience else 0)
                )
                return

    def _mistake(self, path: tuple[str, ...], draw: random.Random) -> tuple[str, int]:
        """Return the kind of mistake and its action; late ones are more likely, so that failures begin correctly."""
        if draw.random() < self.skill or not path:
            return "", -1
        choices = [number for number, action in enumerate(path) if CHOICE.match(action)]
        if choices and draw.random() < 0.7:
            return "takes a wrong object", max(draw.choice(choices), draw.choice(choices))
        return "stops early", draw.randrange(len(path) // 2, len(path))


def _listed(action: str, session: Session) -> str:
    """Return the action without the place of the object if observations list it that way."""
    short = re.sub(r" in inventory\b", "", action)
    return short if short in (session.observation.actions or ()) else action


def _detour(done: tuple[str, ...], draw: random.Random) -> Iterator[str]:
    """Look around, or teleport to another room and back."""
    places = [action.removeprefix("go to ").removeprefix("teleport to ") for action in done if " to " in action[:12]]
    if not places or draw.random() < 0.5:
        yield draw.choice(OBSERVING)
        return
    yield f"teleport to {draw.choice([room for room in ROOMS if room != places[-1]])}"
    yield f"teleport to {places[-1]}"


def _with_wrong_object(action: str, session: Session, draw: random.Random) -> str:
    """Return the action with a wrong object."""
    choice = CHOICE.match(action)
    assert choice is not None
    seen = re.findall(r"\b(?:a|an|the) ([a-z]+(?: (?!in|on|is|which)[a-z]+)?)", session.observation.text)
    others = [thing for thing in seen if thing not in choice["object"] and thing not in ("agent", "substance called")]
    return f"{choice['verb']} {draw.choice(others or ['air'])}"
