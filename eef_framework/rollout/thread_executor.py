"""The default executor."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar

from pydantic import Field

from eef_framework.interfaces import EpisodeSetup, Executor, PlayEpisode


class ThreadExecutor(Executor):
    """Episodes are played in this process: coroutines, with threads for environment steps that block."""

    name: ClassVar[str] = "threads"

    threads: int | None = Field(default=None, gt=0)
    """Maximum number of threads for environment steps; null for the number of cores plus 4, at most 32."""

    def start(self, setup: EpisodeSetup) -> AbstractContextManager[PlayEpisode]:
        """Load the weights."""
        return setup.open(self.threads)
