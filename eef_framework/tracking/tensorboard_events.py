"""Figures for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import yaml
from pydantic import PrivateAttr

from eef_framework.interfaces import TrackedRun, Tracker
from eef_framework.models.libraries import require_installed
from eef_framework.runs import RunLayout

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardTracker(Tracker):
    """Figures go to the folder tensorboard of the run directory: `tensorboard --logdir runs` shows all runs."""

    name: ClassVar[str] = "tensorboard"

    _writer: SummaryWriter | None = PrivateAttr(default=None)

    def preflight(self) -> None:
        """Check that TensorBoard is installed.

        Raises:
            ConfigError: it isn't.
        """
        require_installed("tensorboard", "eef-framework[tensorboard]", "the tracker tensorboard")

    def start(self, run: TrackedRun) -> None:
        """Open a file of events, and write the configuration."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(RunLayout(run.folder).tensorboard))
        self._writer.add_text("configuration", f"```yaml\n{yaml.safe_dump(run.config, sort_keys=False)}\n```")

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Write figures, so that a running TensorBoard shows them."""
        assert self._writer is not None
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
