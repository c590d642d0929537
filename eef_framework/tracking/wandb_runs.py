"""Figures for Weights & Biases."""

from __future__ import annotations

import netrc
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urlparse

from pydantic import PrivateAttr

from eef_framework.errors import ConfigError
from eef_framework.interfaces import TrackedRun, Tracker
from eef_framework.models.libraries import require_installed

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]

MODES: tuple[Mode, ...] = ("online", "offline", "disabled")


class WandbTracker(Tracker):
    """Figures go to Weights & Biases. Without an account they stay in the folder wandb of the run directory."""

    name: ClassVar[str] = "wandb"
    stores_at_finish: ClassVar[bool] = True  # until then, some are in the memory of wandb's own process

    project: str = "eef-framework"
    """Project of the run."""
    entity: str | None = None
    """User or team that owns the project; null for the account's default."""
    mode: Mode | None = None
    """`online`, or `offline` for files that `wandb sync` uploads later. Null for the environment variable WANDB_MODE;
    if that isn't set: online if there is an API key (`wandb login`), otherwise offline."""

    _run: wandb.Run | None = PrivateAttr(default=None)

    def preflight(self) -> None:
        """Check that wandb is installed, and that there is an API key if figures are sent while the run is going on.

        Raises:
            ConfigError: something is missing.
        """
        require_installed("wandb", "eef-framework[wandb]", "the tracker wandb")
        if self._mode() == "online" and not _has_key():  # wandb would ask for it on the terminal
            raise ConfigError(
                "there is no API key for Weights & Biases",
                "Run `wandb login`, set WANDB_API_KEY, or use --set 'trackers=[{name: wandb, mode: offline}]'.",
                code="no-key",
                variable="WANDB_API_KEY",
            )

    def start(self, run: TrackedRun) -> None:
        """Begin the run in wandb, or continue the one with this id."""
        self.finish()
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # reports of crashes to wandb's authors
        import wandb

        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=run.id,
            name=run.name,
            group=run.group or None,
            config=run.config,
            dir=str(run.folder),
            mode=self._mode(),
            resume="allow",
            reinit="create_new",  # the user's own run in this process continues
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")  # wandb's own step must ascend over all names

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Log figures over the axis `step`."""
        assert self._run is not None
        if figures:
            self._run.log({**figures, "step": step})

    def add_file(self, path: Path) -> None:
        """Add a copy to the files of the run."""
        assert self._run is not None
        if self._run.dir and self._run.dir != "/":
            copy = Path(self._run.dir) / path.name
            shutil.copyfile(path, copy)
            self._run.save(str(copy), base_path=self._run.dir, policy="now")

    def finish(self) -> None:
        """End the run; everything is uploaded or in files when this returns."""
        run, self._run = self._run, None
        if run is not None:
            run.finish()

    def _mode(self) -> Mode:
        chosen = self.mode or os.environ.get("WANDB_MODE")
        named = next((mode for mode in MODES if mode == chosen), None)
        return named or ("online" if _has_key() else "offline")


def _has_key() -> bool:
    """Return whether an API key is set, or was saved by `wandb login`."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    try:
        return host is not None and host in netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
