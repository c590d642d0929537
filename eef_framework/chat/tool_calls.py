"""Calls of tools in answers: found in the notations of several models, and written in one of them.

Conversations are text here. A call is written as most open models write it, JSON within `<tool_call>`, and a result
within `<tool_response>`. `chat.template_calls` lets other models' templates write them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from eef_framework.records import Tool

_CALLS = re.compile(r"(?:\A|\n)(?P<calls><tool_call>\n.*\n</tool_call>)\Z", re.DOTALL)
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
_RESULT = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)
_BEGIN = re.compile(r"<tool_call>\s{0,20}|\[TOOL_CALLS\]\s{0,20}|<\|python_tag\|>\s{0,20}")
_END = re.compile(r"\s{0,20}</tool_call>")
_NEXT = re.compile(r"\s{0,20}(?:<tool_call>|\[TOOL_CALLS\])\s{0,20}")
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w.-]{0,100})(?:\[ARGS\])?(?=\{)")
_JSON = json.JSONDecoder(strict=False)

ACT = Tool(name="act", description="Take an action.", action="{action}")
"""The tool for environments that declare none. Read in any case, and written for actions that no other tool takes."""


class Call(NamedTuple):
    """A call of a tool."""

    name: str
    arguments: Any
    """Usually an object; text if the model wrote none that parses."""


class FoundCalls(NamedTuple):
    """Calls in an answer, and their position, marks included."""

    calls: Sequence[Call]
    start: int
    end: int
    first_end: int
    """Where the first call ends; where all end if they are one list."""


def as_instructions(tools: Sequence[Tool]) -> str:
    """Return what a system prompt tells a model about tools, where no chat template and no server does."""
    listed = "\n".join(json.dumps(tool.function, ensure_ascii=False) for tool in tools)
    call = with_calls("", [Call("NAME", {"ARGUMENT": "VALUE"})])
    return (
        f"You act by calling one of these tools:\n<tools>\n{listed}\n</tools>\n\n"
        f"End each answer with one call, written like this:\n{call}"
    )


def with_calls(content: str, calls: Sequence[Call]) -> str:
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


def as_result(content: str) -> str:
    """Return a tool's result as text."""
    return f"<tool_response>\n{content}\n</tool_response>"


def results_of(text: str, count: int) -> list[str] | None:
    """Split a message into the results of `count` calls; None if it holds anything else."""
    found = _RESULT.findall(text)
    return found if found and len(found) == count and "\n".join(map(as_result, found)) == text else None


def as_observation(text: str) -> str:
    """Return an observation after a call as its result. Results of imported episodes are returned unchanged."""
    return text if text.startswith("<tool_response>\n") else as_result(text)


def as_call(action: str, tools: Sequence[Tool] = ()) -> str:
    """Return an action as a call of the first tool that takes it.

    An action that is a call already, as in imported episodes, is returned unchanged.
    """
    content, calls = without_calls(action)
    if calls and not content:
        return action
    found = ((tool.name, tool.arguments_of(action)) for tool in (*tools, ACT))
    return with_calls("", [next(Call(name, arguments) for name, arguments in found if arguments is not None)])


def is_call(action: str, tools: Sequence[Tool]) -> bool:
    """Return whether an action is a call of one of the tools, or a call already, as in imported episodes."""
    content, calls = without_calls(action)
    return bool(calls and not content) or any(tool.arguments_of(action) is not None for tool in tools)


def action_of(call: Call, tools: Sequence[Tool] = ()) -> str | None:
    """Return the action that a call of one of the tools takes; None if it is another call."""
    found = (tool.action_of(call.arguments) for tool in (*tools, ACT) if tool.name == call.name)
    return next((action for action in found if action is not None), None)


def find_calls(text: str) -> FoundCalls | None:
    """Find the first calls in an answer without reasoning; None if there is none.

    Notations: `<tool_call>{...}</tool_call>` (Qwen, Hermes), `[TOOL_CALLS][{...}]` and `[TOOL_CALLS]name[ARGS]{...}`
    (Mistral), `<|python_tag|>{...}` (Llama), and the same without the special tokens, if the answer is nothing else.
    """
    for begin in _BEGIN.finditer(text):
        if found := _calls_at(text, begin.end()):
            return FoundCalls(found[0], begin.start(), *found[1:])
    start = len(text) - len(text.lstrip())
    found = _calls_at(text, start)
    return FoundCalls(found[0], start, *found[1:]) if found and not text[found[1] :].strip() else None


def _calls_at(text: str, position: int) -> tuple[list[Call], int, int] | None:
    """Return the calls that are written at a position one after another, where they end, and where the first ends."""
    calls: list[Call] = []
    end = first_end = position
    while True:
        named = _NAMED.match(text, position)
        try:
            value, stop = _JSON.raw_decode(text, named.end() if named else position)
        except (ValueError, RecursionError):
            break
        if named:
            value = {"name": named["name"], "arguments": value}
        read = [read_call(each) for each in (value if isinstance(value, list) else [value])]
        if not read or any(each is None for each in read):
            break
        is_first = not calls
        calls += [each for each in read if each is not None]
        closed = _END.match(text, stop)
        end = closed.end() if closed else stop
        first_end = end if is_first else first_end
        following = _NEXT.match(text, end)
        if not following:
            break
        position = following.end()
    return (calls, end, first_end) if calls else None


def read_call(value: Any) -> Call | None:
    """Read a call from `{"name": ..., "arguments": {...}}`, or with `parameters`; None if it isn't one."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        try:
            arguments = _JSON.decode(arguments)
        except (ValueError, RecursionError):
            return None
    return Call(value["name"], arguments) if isinstance(arguments, dict) else None


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
