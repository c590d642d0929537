"""Corridors with defects that show only in another process, which can import them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from eef_framework.records import Task
from eef_framework.testing.corridor import Corridor, CorridorSession


class HashOrder(Corridor):
    """Its first observation depends on the order of a set, which differs between processes."""

    name: ClassVar[str] = "hash-order"

    def open(self, task: Task) -> CorridorSession:
        """Start an episode."""
        session = super().open(task)
        words = " ".join({f"word-{n}" for n in range(20)})
        session.initial = session.observation = session.observation.changed(text=words)
        return session


class Unbuildable(Corridor):
    """Needs a value that isn't part of its settings to open a task."""

    name: ClassVar[str] = "unbuildable"

    secret: str = Field(default="", exclude=True)
    """Required to open tasks, but excluded from the settings."""

    def open(self, task: Task) -> CorridorSession:
        """Start an episode."""
        if self.secret != "open sesame":
            raise RuntimeError("wrong secret")
        return super().open(task)
