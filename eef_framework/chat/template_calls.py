"""Tool calls as a chat template writes them: Llama's, Mistral's and other notations than that of `chat.tool_calls`.

The template gets an answer that is nothing but a call as `tool_calls`, and the observation after it as the tool's
result. An answer with a thought before its call stays text: the templates of Llama and Mistral models would leave the
thought out.
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
    found = find_calls(text)
    alone = found is not None and len(found.calls) == 1 and not (text[: found.start] + text[found.end :]).strip()
    return found.calls[0] if found is not None and alone else None


def template_messages(messages: Conversation, escape: Escape) -> list[dict[str, Any]]:
    """Return messages for a template that writes calls.

    A call in another notation than ours may be text of another meaning: it is a call if a result follows it.

    Args:
        messages: the conversation.
        escape: removes special tokens from a text.
    """
    written: list[dict[str, Any]] = []
    called = ""
    for number, message in enumerate(messages):
        result = results_of(message.content, 1) if called else None
        if result is not None:
            written.append({"role": "tool", "tool_call_id": called, "content": escape(result[0])})
            called = ""
            continue
        call = only_call(message.content) if message.role == "assistant" else None
        followed = number + 1 < len(messages) and results_of(messages[number + 1].content, 1) is not None
        if call is None or not (followed or message.content == with_calls("", [call])):
            written.append({"role": message.role, "content": escape(message.content)})
            called = ""
            continue
        called = f"call{number:05}"  # Mistral's templates want nine letters and digits
        function = {"name": call.name, "arguments": escaped(call, escape).arguments}
        calls = [{"id": called, "type": "function", "function": function}]
        written.append({"role": "assistant", "content": "", "tool_calls": calls})
    return written


def escaped(call: Call, escape: Escape) -> Call:
    """Return a call with its arguments' texts escaped."""
    return Call(call.name, json.loads(escape(json.dumps(call.arguments, ensure_ascii=False))))
