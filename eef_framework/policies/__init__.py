"""Who answers: a model of transformers, run here, or one behind a server."""

from eef_framework.policies.chat_completions import OpenAIPolicy
from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.transformers import TransformersPolicy

__all__ = ["OpenAIPolicy", "TinyModel", "TransformersPolicy"]
