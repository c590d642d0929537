"""ShareGPT: `{"id": ..., "conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}`.

Also as ETO's data has it (arXiv 2403.02502): `reward` beside it, and pairs with `prompt`, `chosen` and `rejected`.
AgentGym's AgentTraj (arXiv 2406.04151) adds `loss` to each message and calls the id `item_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from eef_framework.chat.tool_calls import as_result, with_calls
from eef_framework.formats.chat_messages import with_facts
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
from eef_framework.formats.pairs import split_pair
from eef_framework.formats.tool_calls import call_of, with_reasoning

ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "observation": "user",
    "tool": "user",
    "function_response": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
}
_TOOLS = ("observation", "tool", "function_response")
_NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


def is_sharegpt(row: dict[str, Any]) -> bool:
    """Return whether a row has messages with `from` and `value`."""
    return any(_has_from(row.get(key)) for key in ("conversations", "conversation", "chosen"))


def is_agent_traj(row: dict[str, Any]) -> bool:
    """Return whether a row has such messages, some of them with `loss`."""
    messages = row.get("conversations")
    return _has_from(messages) and any("loss" in each for each in messages or () if isinstance(each, dict))


def read(row: dict[str, Any]) -> Dialogue:
    """Read a row.

    Raises:
        MalformedRow: it can't be converted.
    """
    known = {"id", "item_id", "task_id", "conversations", "conversation", "prompt", "chosen", "rejected", "reward"}
    fields = {key: value for key, value in row.items() if key not in known | {"eef"}}
    id_ = string(row.get("id", row.get("item_id")))
    if "chosen" in row:
        prompt = _turns(row, "prompt") if row.get("prompt") else []
        turns, rejected = prompt + _turns(row, "chosen"), prompt + _turns(row, "rejected")
    else:
        key = "conversations" if "conversations" in row else "conversation"
        turns, rejected = _turns(row, key), []
    return Dialogue(
        turns=tuple(turns),
        rejected=tuple(rejected),
        id=id_,
        task=string(row.get("task_id", row.get("item_id", id_))),
        reward=number(row.get("reward", mapping(row.get("meta")).get("reward"))),
        record=mapping(row.get("eef")),
        fields=fields,
    )


def write(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """Write a row."""
    row: dict[str, Any] = {"id": dialogue.id}
    if dialogue.rejected:
        prompt, chosen, rejected = split_pair(dialogue)
        row |= {"prompt": _plain(prompt), "chosen": _plain(chosen), "rejected": _plain(rejected)}
    else:
        row["conversations"] = _plain(dialogue.turns)
    yield with_facts(row, dialogue)


def write_agent_traj(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """Write a row with a `loss` for each message: null for the user's."""
    row: dict[str, Any] = {"item_id": dialogue.task or dialogue.id}
    if dialogue.id not in ("", row["item_id"]):
        row["id"] = dialogue.id
    row["conversations"] = [
        {"from": _NAMES[turn.role], "loss": _loss(turn), "value": turn.content} for turn in dialogue.turns
    ]
    yield with_facts(row, replace(dialogue, task=""))  # the task is the item_id


def _loss(turn: Turn) -> bool | None:
    return None if turn.role != "assistant" else turn.weight is None or turn.weight > 0


def _plain(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    return [{"from": _NAMES[turn.role], "value": turn.content} for turn in turns]


def _turns(row: dict[str, Any], key: str) -> list[Turn]:
    return [_turn(each, position) for position, each in enumerate(messages_of(row, key), 1)]


def _turn(message: dict[str, Any], position: int) -> Turn:
    given = message.get("from")
    role = ROLES.get(given.lower()) if isinstance(given, str) else None
    if role is None:
        raise MalformedRow(f"message {position} is from {given!r}; expected human, gpt or system")
    if "value" not in message:
        raise MalformedRow(f"message {position} has no 'value'")
    text = with_reasoning(*content_of(message["value"], f"message {position}"))
    if given in _TOOLS:
        text = as_result(text)
    elif given == "function_call":
        text = _with_call(text)
    loss = message.get("loss")
    if loss is not None and not isinstance(loss, bool | int | float):
        raise MalformedRow(f"message {position} has the loss {loss!r}; expected true or false")
    return Turn(role=role, content=text, weight=None if loss is None or role != "assistant" else float(loss))


def _with_call(text: str) -> str:
    import json

    try:
        calls = json.loads(text)
    except ValueError:
        return text
    return with_calls("", [call_of(call) for call in (calls if isinstance(calls, list) else [calls])])


def _has_from(messages: Any) -> bool:
    return isinstance(messages, list) and any(
        isinstance(each, dict) and "from" in each and ("value" in each or "content" in each) for each in messages
    )
