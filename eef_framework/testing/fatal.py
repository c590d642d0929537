"""Test doubles that kill the process they run in, to test executors with worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import ClassVar

from eef_framework.interfaces import Session
from eef_framework.records import Observation
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.queue_policy import ScriptedPolicy


def kill_once(marker: Path) -> None:
    """Kill this process, unless the file exists, which is created first."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class FatalPolicy(ScriptedPolicy):
    """Kills its process at the first answer, or at each answer."""

    name: ClassVar[str] = "fatal"

    marker: Path
    """File that exists once it has killed a process."""
    always: bool = False
    """Whether it kills its process at each answer."""

    def choose(self, observation: Observation, draw: Random) -> str:
        """Kill this process, or choose as `ScriptedPolicy` does."""
        if self.always:
            os.kill(os.getpid(), signal.SIGKILL)
        kill_once(self.marker)
        return super().choose(observation, draw)


class FatalExpert(CorridorExpert):
    """Kills its process at the first demonstration."""

    name: ClassVar[str] = "fatal"

    marker: Path
    """File that exists once it has killed a process."""

    def script(self, session: Session, draw: Random) -> Iterator[str]:
        """Kill this process, or act as `CorridorExpert` does."""
        kill_once(self.marker)
        yield from super().script(session, draw)
