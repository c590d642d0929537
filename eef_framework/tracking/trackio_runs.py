"""Figures for trackio."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from eef_framework.interfaces import TrackedRun, Tracker
from eef_framework.models.libraries import require_installed

if TYPE_CHECKING:
    import trackio

RUN_ID = "eef_run_id"
"""Setting that identifies a run: trackio continues runs by their name, which another run may have, too."""


class TrackioTracker(Tracker):
    """Figures go to trackio: a local database, which `trackio show` shows, or a Space of the Hugging Face hub."""

    name: ClassVar[str] = "trackio"
    stores_at_finish: ClassVar[bool] = True  # a thread of trackio writes them

    project: str = "eef-framework"
    """Project of the run."""
    space_id: str | None = None
    """Space that shows the figures; null for the local database, in the folder TRACKIO_DIR."""

    _run: trackio.Run | None = PrivateAttr(default=None)

    def preflight(self) -> None:
        """Check that trackio is installed.

        Raises:
            ConfigError: it isn't.
        """
        require_installed("trackio", "eef-framework[trackio]", "the tracker trackio")

    def start(self, run: TrackedRun) -> None:
        """Begin the run in trackio, or continue the one with this id."""
        self.finish()
        import trackio

        self._run = trackio.init(
            project=self.project,
            name=self._name(run),
            group=run.group or None,
            space_id=self.space_id,
            config={**run.config, RUN_ID: run.id},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Log figures."""
        assert self._run is not None
        if figures:
            self._run.log(dict(figures), step=step)

    def add_file(self, path: Path) -> None:
        """Store a file as an artifact of the project."""
        assert self._run is not None
        self._run.log_artifact(path, name=f"{self._run.name}-{path.name}", type=path.suffix.removeprefix(".") or "file")

    def finish(self) -> None:
        """End the run; everything is stored when this returns."""
        run, self._run = self._run, None
        if run is not None:
            run.finish()

    def _name(self, run: TrackedRun) -> str:
        """Return the name under which trackio has the run already, or else a new one."""
        import trackio

        try:
            known: list[Any] = list(trackio.Api().runs(self.project))
        except ValueError:  # no such project yet
            known = []
        for each in known:
            if (each.config or {}).get(RUN_ID) == run.id:
                return str(each.name)
        taken = any(each.name == run.name for each in known)
        return f"{run.name}-{run.id[:8]}" if taken else run.name
