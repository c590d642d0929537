"""Trackers: a file in the run directory, and TensorBoard."""

from eef_framework.tracking.files import FileTracker
from eef_framework.tracking.tensorboard_events import TensorBoardTracker

__all__ = ["FileTracker", "TensorBoardTracker"]
