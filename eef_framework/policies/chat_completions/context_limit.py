"""Learns the length of the model's context from rejected conversations."""

from __future__ import annotations

import re

from eef_framework.policies.chat_completions.context_length import is_too_long, sizes
from eef_framework.policies.chat_completions.error_response import ErrorResponse
from eef_framework.policies.chat_completions.usage import prompt_bytes
from eef_framework.records import Conversation

MARGIN = 1.25
"""How much longer than a refused conversation another one must be, as a ratio of bytes, to be assumed refused as well.
Texts of one environment differ by less in bytes a token."""


class ContextLimit:
    """Learns the longest conversation that a server accepts from its rejections.

    It saves requests and never changes which observations are dropped: assumed rejections would really be refused.
    """

    def __init__(self) -> None:
        self._refused: set[tuple[int | None, int]] = set()
        self._bytes: dict[int | None, float] = {}
        self._wordings: set[tuple[int, str]] = set()

    def refuses(self, conversation: Conversation, limit: int | None) -> bool:
        """Return whether a conversation is certainly too long: a continued refused one, or much longer than one.

        Args:
            conversation: the conversation to send.
            limit: maximum length of the answer, in tokens.
        """
        if prompt_bytes(conversation) > MARGIN * self._bytes.get(limit, float("inf")):
            return True
        return any((limit, begun) in self._refused for begun in _beginnings(conversation))

    def learn(self, conversation: Conversation, limit: int | None, rejection: ErrorResponse) -> None:
        """Record that a conversation was refused for its length."""
        *_, whole = _beginnings(conversation)
        self._refused.add((limit, whole))
        if not is_too_long(rejection):
            return  # the wording is unknown: nothing follows for other conversations
        used, most = sizes(rejection)
        share = most / used if used and most and most < used else 1.0
        self._bytes[limit] = min(self._bytes.get(limit, float("inf")), prompt_bytes(conversation) * share)

    def learn_wording(self, rejection: ErrorResponse) -> None:
        """Record that this wording means that a conversation is too long."""
        self._wordings.add(_wording(rejection))

    def knows(self, rejection: ErrorResponse) -> bool:
        """Return whether this wording is known to mean that a conversation is too long."""
        return _wording(rejection) in self._wordings


def _beginnings(conversation: Conversation) -> list[int]:
    """Return a number for each conversation that this one continues, itself included and last."""
    found, number = [], 0
    for message in conversation:
        number = hash((number, message.role, message.content))
        if message.role == "user":
            found.append(number)
    return found or [number]


def _wording(rejection: ErrorResponse) -> tuple[int, str]:
    """Return status and text without what differs from one conversation to another."""
    return rejection.status, re.sub(r"\d+|'[^']*'|\"[^\"]*\"|`[^`]*`", "#", rejection.text)[:200]
