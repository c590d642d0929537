"""Conversations: episodes as messages, parsing of answers, and tokens with a loss mask."""

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.parse import Answer, parse_answer
from eef_framework.chat.reasoning import without_reasoning
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.chat.tool_calls import as_instructions

__all__ = ["Answer", "ChatFormat", "ChatTokenizer", "as_instructions", "parse_answer", "without_reasoning"]
