"""Conversations: episodes as messages, parsing of answers, and tokens with a loss mask."""

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.parse import Answer, parse_answer

__all__ = ["Answer", "ChatFormat", "parse_answer"]
