"""Messages as OpenAI's API and most libraries have them: `{"messages": [{"role": "user", "content": ...}, ...]}`.

With `tool_calls`, and with `weight` 0 or 1 as in OpenAI's data for fine-tuning. TRL's prompt and completion are such
messages in two lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from eef_framework.chat.tool_calls import as_result, results_of, with_calls, without_calls
from eef_framework.formats.dialogue import (
    Dialogue,
    MalformedRow,
    Role,
    Turn,
    content_of,
    mapping,
    messages_of,
    number,
    string,
)
from eef_framework.formats.tool_calls import call_of, split_reasoning, with_reasoning

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "user",
    "function": "user",
    "assistant": "assistant",
    "model": "assistant",
}


_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields of servers with an answer's reasoning, as text or as parts."""


def is_messages(row: dict[str, Any]) -> bool:
    """Return whether a row has messages with `role`."""
    return any(_has_role(row.get(key)) for key in ("messages", "conversations"))


def read(row: dict[str, Any]) -> Dialogue:
    """Read a row.

    Raises:
        MalformedRow: it can't be converted.
    """
    key = "messages" if "messages" in row else "conversations"
    return facts_of(row, {key}, turns=tuple(turns_of(messages_of(row, key))))


def write(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """Write a row. Answers have a `weight` if not all have the same."""
    weights = {turn.weight for turn in dialogue.turns if turn.role == "assistant"}
    row = {"id": dialogue.id, "messages": messages(dialogue.turns, weighted=weights != {None}, reasoning=True)}
    yield with_facts(row, dialogue)


def facts_of(row: dict[str, Any], known: set[str], **turns: Any) -> Dialogue:
    """Return a dialogue with the facts that stand beside the messages of a row."""
    known = known | {"id", "task_id", "task", "reward", "eef", "example_id"}
    id_ = string(row.get("id", row.get("example_id")))
    task = row.get("task_id", row.get("task"))
    return Dialogue(
        id=id_,
        task=string(task) if isinstance(task, str | int) else id_,
        reward=number(row.get("reward")),
        record=mapping(row.get("eef")),
        fields={key: value for key, value in row.items() if key not in known},
        **turns,
    )


def with_facts(row: dict[str, Any], dialogue: Dialogue) -> dict[str, Any]:
    """Return a row with the facts that stand beside its messages."""
    if dialogue.task not in ("", dialogue.id):
        row["task_id"] = dialogue.task
    if dialogue.reward is not None:
        row["reward"] = dialogue.reward
    row |= {key: value for key, value in dialogue.fields.items() if key not in row}
    if dialogue.record:
        row["eef"] = dialogue.record
    return row


def turns_of(given: Sequence[dict[str, Any]]) -> Iterator[Turn]:
    """Read messages. Results of tools that follow one another become one message.

    Raises:
        MalformedRow: one can't be read.
    """
    results: list[str] = []
    for position, message in enumerate(given, 1):
        name = message.get("role")
        role = ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise MalformedRow(f"message {position} is of role {name!r}; expected {', '.join(ROLES)}")
        if "content" not in message and not message.get("tool_calls") and not message.get("function_call"):
            raise MalformedRow(f"message {position} has no 'content'")
        reasoning, text = content_of(message.get("content"), f"message {position}")
        if name in ("tool", "function"):
            results.append(as_result(text))
            continue
        if results:
            yield Turn(role="user", content="\n".join(results))
            results = []
        yield _turn({**message, "reasoning": message.get("reasoning") or reasoning}, role, text, position)
    if results:
        yield Turn(role="user", content="\n".join(results))


def _turn(message: dict[str, Any], role: Role, text: str, position: int) -> Turn:
    if role != "assistant":
        return Turn(role=role, content=text)
    calls = message.get("tool_calls") or (
        [{"function": message["function_call"]}] if message.get("function_call") else []
    )
    if not isinstance(calls, list):
        raise MalformedRow(f"message {position}: 'tool_calls' isn't a list")
    text = with_calls(text, [call_of(_function(call, position)) for call in calls])
    given = next((message[key] for key in _REASONING if message.get(key) and isinstance(message[key], str | list)), "")
    reasoning = content_of(given, f"the reasoning of message {position}")
    weight = message.get("weight")
    if weight is not None and not (isinstance(weight, bool | int | float) and weight >= 0):
        raise MalformedRow(f"message {position} has the weight {weight!r}; expected a number from 0 on")
    return Turn(
        role=role,
        content=with_reasoning(reasoning.reasoning or reasoning.text, text),
        weight=None if weight is None else float(weight),
    )


def _function(call: Any, position: int) -> Any:
    """Return name and arguments of a call as OpenAI, TRL or inspect_ai write it."""
    if not isinstance(call, dict):
        raise MalformedRow(f"message {position}: a tool call isn't an object")
    function = call.get("function", call)
    return {"name": function, "arguments": call.get("arguments", {})} if isinstance(function, str) else function


def messages(
    turns: Sequence[Turn], weighted: bool = False, as_text: bool = True, reasoning: bool = False
) -> list[dict[str, Any]]:
    """Write messages.

    Args:
        turns: the messages.
        weighted: give answers a `weight`.
        as_text: write arguments of tools as JSON text, as OpenAI does, and not as objects.
        reasoning: write reasoning as `reasoning_content`, and not as a part of the text.
    """
    written: list[dict[str, Any]] = []
    called: list[str] = []
    number = 0
    for turn in turns:
        results = results_of(turn.content, len(called)) if turn.role == "user" and called else None
        if results is not None:
            pairs = zip(called, results, strict=True)
            written += [{"role": "tool", "tool_call_id": id_, "content": result} for id_, result in pairs]
            called = []
            continue
        called = []
        if turn.role != "assistant":
            written.append({"role": turn.role, "content": turn.content})
            continue
        thought, text = split_reasoning(turn) if reasoning else ("", turn.content)
        content, calls = without_calls(text)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if thought:
            message["reasoning_content"] = thought
        if calls:
            called = [f"call_{number + position}" for position in range(1, len(calls) + 1)]
            number += len(calls)
            message["tool_calls"] = [
                {
                    "id": id_,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": json.dumps(call.arguments, ensure_ascii=False) if as_text else call.arguments,
                    },
                }
                for id_, call in zip(called, calls, strict=True)
            ]
        if weighted:
            weight = 1.0 if turn.weight is None else turn.weight
            message["weight"] = int(weight) if weight.is_integer() else weight
        written.append(message)
    return written


def _has_role(given: Any) -> bool:
    return isinstance(given, list) and any(isinstance(each, dict) and "role" in each for each in given)
