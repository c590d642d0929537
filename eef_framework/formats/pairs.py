"""Preferences: the common beginning of two conversations, and the rest of each."""

from __future__ import annotations

from eef_framework.formats.dialogue import Dialogue, Turn


def split_pair(dialogue: Dialogue) -> tuple[tuple[Turn, ...], tuple[Turn, ...], tuple[Turn, ...]]:
    """Split a pair into the messages that both begin with, up to one of the user, and the rest of either side."""
    same = 0
    for first, second in zip(dialogue.turns, dialogue.rejected, strict=False):
        if (first.role, first.content) != (second.role, second.content):
            break
        same += 1
    while same and dialogue.turns[same - 1].role == "assistant":
        same -= 1
    same = min(same, len(dialogue.turns) - 1, len(dialogue.rejected) - 1)
    return dialogue.turns[:same], dialogue.turns[same:], dialogue.rejected[same:]
