"""Calls of tools as text, and back.

Conversations here are text. A call is written as most open models write it, JSON within `<tool_call>`, and a result
within `<tool_response>`. Text is only read back as calls if writing these gives the same text.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, NamedTuple

from eef_framework.formats.dialogue import MalformedRow

_CALLS = re.compile(r"(?:\A|\n)(?P<calls><tool_call>\n.*\n</tool_call>)\Z", re.DOTALL)
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
_RESULT = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)
_THINK = re.compile(r"\A<think>\n(?P<thought>.*?)\n</think>\n\n", re.DOTALL)


class Call(NamedTuple):
    """A call of a tool."""

    name: str
    arguments: Any
    """Usually an object; text if the model wrote none that parses."""


def with_calls(content: str, calls: list[Call]) -> str:
    """Return an answer with its calls as text."""
    if not calls:
        return content
    written = "\n".join(
        f"<tool_call>\n{json.dumps({'name': call.name, 'arguments': call.arguments}, ensure_ascii=False)}\n</tool_call>"
        for call in calls
    )
    return f"{content}\n{written}" if content else written


def without_calls(text: str) -> tuple[str, list[Call]]:
    """Split an answer into its content and its calls; no calls if it can't be written back from them."""
    found = _CALLS.search(text)
    while found:
        content, calls = text[: found.start()], _parsed(found["calls"])
        if calls and with_calls(content, calls) == text:
            return content, calls
        found = _CALLS.search(text, found.start() + 1)
    return text, []


def _parsed(text: str) -> list[Call]:
    calls = []
    for body in _CALL.findall(text):
        try:
            call = json.loads(body)
        except (ValueError, RecursionError):
            return []
        if not isinstance(call, dict) or call.keys() != {"name", "arguments"}:
            return []
        if not isinstance(call["name"], str) or not isinstance(call["arguments"], dict):
            return []
        calls.append(Call(call["name"], call["arguments"]))
    return calls


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


def as_result(content: str) -> str:
    """Return a tool's result as text."""
    return f"<tool_response>\n{content}\n</tool_response>"


def results_of(text: str, count: int) -> list[str] | None:
    """Split a message into the results of `count` calls; None if it holds anything else."""
    found = _RESULT.findall(text)
    return found if found and len(found) == count and "\n".join(map(as_result, found)) == text else None


def with_reasoning(reasoning: str, content: str) -> str:
    """Return an answer with its reasoning as text."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content


def without_reasoning(text: str) -> tuple[str, str]:
    """Split an answer into its reasoning and the rest; no reasoning if it isn't written as above."""
    found = _THINK.match(text)
    if found and found["thought"]:
        return found["thought"], text[found.end() :]
    return "", text
