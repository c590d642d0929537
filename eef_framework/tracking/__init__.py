"""Trackers: a file in the run directory, TensorBoard, Weights & Biases, MLflow and trackio."""

from eef_framework.tracking.files import FileTracker
from eef_framework.tracking.mlflow_runs import MlflowTracker
from eef_framework.tracking.tensorboard_events import TensorBoardTracker
from eef_framework.tracking.trackio_runs import TrackioTracker
from eef_framework.tracking.wandb_runs import WandbTracker

__all__ = ["FileTracker", "MlflowTracker", "TensorBoardTracker", "TrackioTracker", "WandbTracker"]
