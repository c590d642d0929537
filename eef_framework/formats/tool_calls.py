"""Calls of tools and reasoning in the messages of other formats, as text and back; see `chat.tool_calls`."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from eef_framework.chat.tool_calls import Call
from eef_framework.formats.dialogue import MalformedRow, Turn

_THINK = re.compile(r"\A<think>\n(?P<thought>.*?)\n</think>\n\n", re.DOTALL)


def call_of(function: Any) -> Call:
    """Read a call: `{"name": ..., "arguments": ...}`, with the arguments as an object or as JSON text.

    Raises:
        MalformedRow: it has no name.
    """
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise MalformedRow("a tool call has no name")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        with suppress(ValueError):  # otherwise kept as the model wrote it
            arguments = json.loads(arguments or "{}")
    return Call(function["name"], arguments)


def tools_among(fields: dict[str, Any]) -> list[Any]:
    """Return the tools beside the messages of a row, in the format of OpenAI's API. Some rows have them as JSON text.

    Raises:
        MalformedRow: they aren't a list of tools.
    """
    tools: Any = fields.get("tools") or []
    if isinstance(tools, str):
        with suppress(ValueError):
            tools = json.loads(tools)
    if not isinstance(tools, list):
        raise MalformedRow("'tools' isn't a list of tools")
    return [_without_nulls(tool) for tool in tools]


def _without_nulls(value: Any) -> Any:
    """Return JSON data without nulls: columns of Parquet have one for each parameter that another tool has."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def with_reasoning(reasoning: str, content: str) -> str:
    """Return an answer with its reasoning as text."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content


def without_reasoning(text: str) -> tuple[str, str]:
    """Split an answer into its reasoning and the rest; no reasoning if it isn't written as above."""
    found = _THINK.match(text)
    if found and found["thought"]:
        return found["thought"], text[found.end() :]
    return "", text


def split_reasoning(turn: Turn) -> tuple[str, str]:
    """Return the reasoning of an answer, from its text or apart from it, and the text without it."""
    return (turn.reasoning, turn.content) if turn.reasoning else without_reasoning(turn.content)
