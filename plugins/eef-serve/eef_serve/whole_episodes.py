"""Formats in which an episode is one sequence, as other frameworks train on it."""

from __future__ import annotations

from eef_framework.chat import ChatFormat
from eef_framework.errors import ConfigError


def check_whole(format: ChatFormat) -> ChatFormat:
    """Return a format that shows whole episodes.

    Raises:
        ConfigError: it doesn't (`format-not-whole`).
    """
    if format.history is not None:
        raise ConfigError(
            f"history is {format.history}, so prompts aren't continuations of each other",
            "Leave history out.",
            code="format-not-whole",
            history=format.history,
        )
    return format
