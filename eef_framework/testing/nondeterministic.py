"""Corridors with defects that only another process shows; they have to be importable there."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from eef_framework.records import Task
from eef_framework.testing.corridor import Corridor, CorridorSession


class HashOrder(Corridor):
    """Words its task by the order of a set, which differs between processes."""

    name: ClassVar[str] = "hash-order"

    def open(self, task: Task) -> CorridorSession:
        """Start an episode whose first observation ends with letters in any order."""
        session = super().open(task)
        words = " ".join({f"word-{n}" for n in range(20)})
        session.initial = session.observation = session.observation.changed(text=words)
        return session


class Unbuildable(Corridor):
    """Needs something that isn't part of its settings to open a task."""

    name: ClassVar[str] = "unbuildable"

    secret: str = Field(default="", exclude=True)
    """Opens tasks, and is left out of the settings."""

    def open(self, task: Task) -> CorridorSession:
        """Start an episode, with the secret."""
        if self.secret != "open sesame":
            raise RuntimeError("closed sesame")
        return super().open(task)
