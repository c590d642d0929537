"""Pretrained models that can be fetched by name, and adapters of models."""

from eef_framework.models.adapter import AdapterChain, adapter_chain, stack_adapters
from eef_framework.models.fetching import fetch
from eef_framework.models.finding import find_model
from eef_framework.models.known import KNOWN, KnownModel
from eef_framework.models.store import folder_of, resolve

__all__ = [
    "KNOWN",
    "AdapterChain",
    "KnownModel",
    "adapter_chain",
    "fetch",
    "find_model",
    "folder_of",
    "resolve",
    "stack_adapters",
]
