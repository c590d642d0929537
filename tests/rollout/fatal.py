"""Components that kill the process that they run in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.queue_policy import ScriptedPolicy


def kill_once(marker: Path) -> None:
    """Kill this process, unless that was done before."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class FatalPolicy(ScriptedPolicy):
    """Kills its process at the first answer, or at each one."""

    name: ClassVar[str] = "fatal"

    marker: Path
    """File that remembers it."""
    always: bool = False

    def choose(self, observation: Any, draw: Any) -> str:
        """Kill, or answer."""
        if self.always:
            os.kill(os.getpid(), signal.SIGKILL)
        kill_once(self.marker)
        return super().choose(observation, draw)


class FatalExpert(CorridorExpert):
    """Kills its process at the first demonstration."""

    name: ClassVar[str] = "fatal"

    marker: Path
    """File that remembers it."""

    def script(self, session: Any, draw: Any) -> Iterator[str]:
        """Kill, or play."""
        kill_once(self.marker)
        yield from super().script(session, draw)
