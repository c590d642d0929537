"""Pretrained models that can be fetched by name."""

from eef_framework.models.fetching import fetch
from eef_framework.models.known import KNOWN, KnownModel
from eef_framework.models.store import folder_of, resolve

__all__ = ["KNOWN", "KnownModel", "fetch", "folder_of", "resolve"]
