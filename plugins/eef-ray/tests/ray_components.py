"""Components that workers can import: some kill their process, some wait until they may answer."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from eef_framework.errors import EefWarning
from eef_framework.testing.corridor import Corridor
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


class WaitingCorridor(Corridor):
    """Steps wait until a file exists. Leaves a file with the id of its process where they wait."""

    name: ClassVar[str] = "waiting"
    blocking: ClassVar[bool] = True

    folder: Path
    """Folder of these files."""

    def open(self, task: Any) -> Any:
        """Wait, then open."""
        (self.folder / f"waiting-{os.getpid()}").touch()
        while not (self.folder / "go").exists():
            time.sleep(0.01)
        return super().open(task)


class WarningPolicy(ScriptedPolicy):
    """Warns at each answer."""

    name: ClassVar[str] = "warning"

    def choose(self, observation: Any, draw: Any) -> str:
        """Warn, and answer."""
        warnings.warn(EefWarning("careful", code="careful", process=os.getpid()), stacklevel=2)
        return super().choose(observation, draw)
