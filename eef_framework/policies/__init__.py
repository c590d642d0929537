"""Policies: transformers models in this process, and models on a server."""

from eef_framework.policies.chat_completions import OpenAIPolicy
from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.transformers_policy import TransformersPolicy

__all__ = ["OpenAIPolicy", "TinyModel", "TransformersPolicy"]
