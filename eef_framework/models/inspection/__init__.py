"""Checks whether a model's files can be loaded, by their headers: in milliseconds, before anything starts.

Errors of the libraries for a broken file are often not helpful ("header too large" for a Git LFS pointer), and come
only when the weights are loaded, which may be hours into a run.
"""

from eef_framework.models.inspection.config import check_config
from eef_framework.models.inspection.files import read_json
from eef_framework.models.inspection.gguf import check_gguf
from eef_framework.models.inspection.model import check_model
from eef_framework.models.inspection.weights import check_weights

__all__ = ["check_config", "check_gguf", "check_model", "check_weights", "read_json"]
