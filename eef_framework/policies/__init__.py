"""Policies: transformers models in this process, and models on a server."""

from eef_framework.policies.chat_completions import OpenAIPolicy
from eef_framework.policies.loading import load_tokenizer
from eef_framework.policies.prompts import FittedPrompt, fit_prompt, sampled_response, scored_response
from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.transformers_policy import TransformersPolicy

__all__ = [
    "FittedPrompt",
    "OpenAIPolicy",
    "TinyModel",
    "TransformersPolicy",
    "fit_prompt",
    "load_tokenizer",
    "sampled_response",
    "scored_response",
]
