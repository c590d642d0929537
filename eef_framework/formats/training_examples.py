"""Dialogues as training examples, and back."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from eef_framework.formats.dialogue import Dialogue, MalformedRow, Turn, reason_of
from eef_framework.formats.episodes import without_answers_cut
from eef_framework.formats.tool_calls import tools_among
from eef_framework.records import Conversation, Example, Message

KIND = "example"


def dialogue_of(example: Example, with_record: bool = True) -> Dialogue:
    """Return an example as a dialogue.

    Args:
        example: the example.
        with_record: keep what a conversation doesn't show, so that the example can be read back unchanged.
    """
    reward = example.info.get("reward")
    tools = [tool.function for tool in example.messages[0].tools]
    return Dialogue(
        turns=_turns(example.messages),
        rejected=_turns(example.rejected),
        fields={"tools": tools} if tools else {},
        id=example.id,
        task=example.task,
        reward=float(reward) if isinstance(reward, int | float) and not isinstance(reward, bool) else None,
        record=_record(example) if with_record else {},
    )


def example_of(dialogue: Dialogue) -> Example:
    """Return a dialogue as a training example. Without weights in its format, all answers have the weight 1.

    Raises:
        MalformedRow: it can't be one.
    """
    record = dialogue.record if dialogue.record.get("kind") == KIND else {}
    dialogue = without_answers_cut(dialogue.ordered())
    data = {key: value for key, value in record.items() if key not in ("kind", "messages", "rejected")}
    tools = tools_among(dialogue.fields)
    sides = {"messages": dialogue.turns, "rejected": dialogue.rejected}
    for name, turns in sides.items():
        own = record.get(name)
        if tools and turns and turns[0].role != "system":
            turns = (Turn(role="system", content=""), *turns)
        data[name] = [
            _message(turn, own[position] if isinstance(own, list) and len(own) == len(turns) else None)
            for position, turn in enumerate(turns)
        ]
        if tools and turns:
            data[name][0] = {"tools": tools, **data[name][0]}
    if not record:
        data |= {"id": dialogue.id, "task": dialogue.task, "source": "imported"}
        data["info"] = {} if dialogue.reward is None else {"reward": dialogue.reward}
        if dialogue.record.get("id"):
            data["trajectory"] = dialogue.record["id"]
    try:
        return Example.model_validate(data)
    except ValidationError as cause:
        raise MalformedRow(reason_of(cause)) from cause


def _turns(messages: Conversation) -> tuple[Turn, ...]:
    """Return messages as turns, without a system message that is there for its tools alone."""
    blank = bool(messages) and bool(messages[0].tools) and not messages[0].content
    return tuple(map(_turn, messages[blank:]))


def _turn(message: Message) -> Turn:
    return Turn(
        role=message.role,
        content=message.content,
        weight=message.weight if message.role == "assistant" else None,
        unweighted_prefix_chars=message.unweighted_prefix_chars,
        unweighted_suffix_chars=message.unweighted_suffix_chars,
        token_ids=message.token_ids,
    )


def _record(example: Example) -> dict[str, Any]:
    """Return an example without its texts."""
    data = example.model_dump(mode="json", exclude_defaults=True, exclude={"version", "messages", "rejected"})
    data |= {"kind": KIND, "id": example.id, "messages": _masks(example.messages)}
    if example.rejected:
        data["rejected"] = _masks(example.rejected)
    return data


def _masks(messages: Conversation) -> list[dict[str, Any]]:
    return [message.model_dump(mode="json", exclude_defaults=True, exclude={"role", "content"}) for message in messages]


def _message(turn: Turn, recorded: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if isinstance(recorded, dict):
        return {**recorded, **data}
    if turn.role == "assistant":
        data["weight"] = 1.0 if turn.weight is None else turn.weight
        data["unweighted_prefix_chars"] = turn.unweighted_prefix_chars
        data["unweighted_suffix_chars"] = turn.unweighted_suffix_chars
    return data
