"""Who answers: a model of transformers, run here."""

from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.transformers import TransformersPolicy

__all__ = ["TinyModel", "TransformersPolicy"]
