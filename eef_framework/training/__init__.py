"""Trains a checkpoint on examples."""

from eef_framework.training.dpo import DpoTrainer
from eef_framework.training.sft import SftTrainer

__all__ = ["DpoTrainer", "SftTrainer"]
