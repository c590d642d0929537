"""Tracker: where the figures of a run are shown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from eef_framework.interfaces.component import Component
from eef_framework.records import Record


class TrackedRun(Record):
    """The run that figures belong to."""

    id: str
    """Identifies the run; unchanged when it is resumed or its folder is moved."""
    name: str
    """Name of the run: that of its folder."""
    group: str = ""
    """Name of the folder that contains it. Runs of one experiment, such as several seeds, have the same one."""
    folder: Path
    """The run directory. A tracker with files for each run writes them there."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The resolved configuration, as plain data."""


class Tracker(Component):
    """Tracker: sends the figures of a run to where they are looked at.

    The run directory is complete without trackers. All calls come from one thread, which isn't the run's: a slow
    tracker doesn't slow down the run. If a method raises, a warning is given, and the tracker gets no further calls in
    this process; the figures that it missed are sent when the run is resumed.
    """

    stores_at_finish: ClassVar[bool] = False
    """Whether figures may still be lost in a kill until `finish` returns. If so, the figures of a killed run are sent
    again when it is resumed."""

    @abstractmethod
    def start(self, run: TrackedRun) -> None:
        """Begin a run, or continue the one with the same id. Called once, before all other methods."""

    @abstractmethod
    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Record figures. When this returns, they must be stored, unless `stores_at_finish` is true.

        Args:
            figures: name -> value. All values are finite. A name is a path such as `eef/explore/success` or
                `eef/tune/1/loss`; methods have names with letters of any script, digits, spaces and `_ . + = -`.
            step: the figures' place on the x axis: the iteration, or for a training the optimisation step. The steps
                of one name ascend, but not those of different names. After an interruption a step may be repeated.
        """

    def add_file(self, path: Path) -> None:
        """Keep a file of the run with its figures, such as the report. It may replace an earlier one of this name."""

    def finish(self) -> None:
        """End the run; everything must have been sent when this returns. Not called if the process was killed."""
