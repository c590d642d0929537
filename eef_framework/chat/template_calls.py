"""Tool calls as a chat template or a server takes them: in other notations than that of `chat.tool_calls`.

A template gets an answer that is nothing but a call as `tool_calls`, and the observation after it as the tool's
result. An answer with a thought before its call stays text: the templates of Llama and Mistral models would leave the
thought out. A server gets the thought as the message's content.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from eef_framework.chat.tool_calls import Call, find_calls, results_of, with_calls
from eef_framework.records import Conversation

Escape = Callable[[str], str]
PROBE = Call("act", {"action": "look at [it]"})
"""A call to find out how a template writes one."""


def only_call(text: str) -> Call | None:
    """Return the call of an answer that is nothing but one call, in any notation; otherwise None."""
    thought, call = _last_call(text)
    return None if thought.strip() else call


def _last_call(text: str) -> tuple[str, Call | None]:
    """Split an answer into text and the one call that it ends with; None if it has more calls, or none at its end."""
    found = find_calls(text)
    if found is None or len(found.calls) != 1 or text[found.end :].strip():
        return text, None
    return text[: found.start], found.calls[0]


def server_messages(messages: Conversation) -> list[dict[str, Any]]:
    """Return messages for a server with a chat-completions API, with calls as `tool_calls` if it is told of tools."""
    if not (messages and messages[0].tools):
        return [{"role": message.role, "content": message.content} for message in messages]
    written = template_messages(messages, str, thoughts=True)
    for message in written:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return written if messages[0].content.strip() else written[1:]


def template_messages(messages: Conversation, escape: Escape, thoughts: bool = False) -> list[dict[str, Any]]:
    """Return messages for a template that writes calls.

    A call in another notation than ours may be text of another meaning: it is a call if a result follows it.

    Args:
        messages: the conversation.
        escape: removes special tokens from a text.
        thoughts: whether a message with a call may have text before it.
    """
    written: list[dict[str, Any]] = []
    called = ""
    for number, message in enumerate(messages):
        result = results_of(message.content, 1) if called else None
        if result is not None:
            written.append({"role": "tool", "tool_call_id": called, "content": escape(result[0])})
            called = ""
            continue
        text, call = _last_call(message.content) if message.role == "assistant" else ("", None)
        followed = number + 1 < len(messages) and results_of(messages[number + 1].content, 1) is not None
        if (
            call is None
            or (text.strip() and not thoughts)
            or not (followed or message.content == with_calls(text, [call]))
        ):
            written.append({"role": message.role, "content": escape(message.content)})
            called = ""
            continue
        called = f"call{number:05}"  # Mistral's templates want nine letters and digits
        function = {"name": call.name, "arguments": escaped(call, escape).arguments}
        calls = [{"id": called, "type": "function", "function": function}]
        written.append({"role": "assistant", "content": escape(text.strip()), "tool_calls": calls})
    return written


def escaped(call: Call, escape: Escape) -> Call:
    """Return a call with its arguments' texts escaped."""
    return Call(call.name, escaped_json(call.arguments, escape))


def escaped_json(value: Any, escape: Escape) -> Any:
    """Return JSON data with all texts escaped."""
    return json.loads(escape(json.dumps(value, ensure_ascii=False)))
