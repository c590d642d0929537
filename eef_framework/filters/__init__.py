"""Filters that come with the core. They are registered like anyone's."""

from eef_framework.filters.cap import CapPerTask
from eef_framework.filters.deduplicate import Deduplicate

__all__ = ["CapPerTask", "Deduplicate"]
