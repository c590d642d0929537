"""Prompt and completion, as TRL takes them: two lists of messages, and loss on the completion only.

An episode with several trained answers becomes one row for each of them, which is the only way in which TRL's loss is
exact. Pairs have `chosen` and `rejected` in place of the completion. Results of verifiers have this form too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eef_framework.formats.chat_messages import facts_of, messages, turns_of, with_facts
from eef_framework.formats.dialogue import Dialogue, MalformedRow, Turn, mapping, messages_of
from eef_framework.formats.pairs import split_pair


def is_prompt_completion(row: dict[str, Any]) -> bool:
    """Return whether a row has a completion, or a chosen and a rejected one."""
    return "completion" in row or ("chosen" in row and "rejected" in row)


def read(row: dict[str, Any]) -> Dialogue | None:
    """Read a row; None if a later row has the whole conversation.

    Raises:
        MalformedRow: it can't be converted.
    """
    record = dict(mapping(row.get("eef")))
    if "part" in record:
        return None
    row = {**row, "eef": record}
    prompt = _turns(row, "prompt", "user") if row.get("prompt") else []
    if isinstance(row.get("label"), bool) and row.get("reward") is None:  # of a row that TRL's KTOTrainer takes
        row["reward"] = float(row["label"])
    known = {"prompt", "completion", "chosen", "rejected"}
    if "chosen" in row:
        sides = {name: prompt + _turns(row, name, "assistant", 1.0) for name in ("chosen", "rejected")}
        return facts_of(row, known, turns=tuple(sides["chosen"]), rejected=tuple(sides["rejected"]))
    after = [
        Turn(role=role, content=text, weight=0.0 if role == "assistant" else None)
        for role, text in record.pop("after", ())
    ]
    return facts_of(row, known, turns=(*prompt, *_turns(row, "completion", "assistant", 1.0), *after))


def write(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """Write a row for each trained answer; the last one has our record.

    Raises:
        MalformedRow: no answer is trained.
    """
    if dialogue.rejected:
        names = ("prompt", "chosen", "rejected")
        sides = (messages(side, as_text=False) for side in split_pair(dialogue))
        yield with_facts({"id": dialogue.id, **dict(zip(names, sides, strict=True))}, dialogue)
        return
    trained = [
        index
        for index, turn in enumerate(dialogue.turns)
        if turn.role == "assistant" and (turn.weight is None or turn.weight > 0)
    ]
    if not trained:
        raise MalformedRow("no answer is trained")
    for index in trained:
        row = {"id": dialogue.id if len(trained) == 1 else f"{dialogue.id}@{index}", **_row(dialogue.turns, index)}
        row = with_facts(row, dialogue)
        if dialogue.record and index != trained[-1]:
            row["eef"] = {"part": index}
        elif dialogue.record and index + 1 < len(dialogue.turns):
            row["eef"] = {**dialogue.record, "after": [[t.role, t.content] for t in dialogue.turns[index + 1 :]]}
        yield row


def _row(turns: Sequence[Turn], index: int) -> dict[str, Any]:
    # Written together, so that a call and its result are recognised in the prompt.
    whole = messages(turns[: index + 1], as_text=False)
    return {"prompt": whole[:-1], "completion": whole[-1:]}


def _turns(row: dict[str, Any], key: str, role: Any, weight: float = 0.0) -> list[Turn]:
    given = row.get(key)
    if isinstance(given, str):
        turns = [Turn(role=role, content=given)]
    elif given is None:
        raise MalformedRow(f"{key!r} is missing")
    else:
        turns = list(turns_of(messages_of(row, key)))
    return [
        Turn(role=turn.role, content=turn.content, weight=weight if turn.role == "assistant" else None)
        for turn in turns
    ]
