"""Components that workers can import: one waits until it may answer, one warns."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar

from eef_framework.errors import EefWarning
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.queue_policy import ScriptedPolicy


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
