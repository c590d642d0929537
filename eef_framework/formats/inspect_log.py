"""Logs of inspect_ai: the samples of an `.eval` file or of its JSON form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eef_framework.formats.chat_messages import messages, turns_of
from eef_framework.formats.dialogue import Dialogue, MalformedRow, mapping, messages_of, number, string

_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Values of a score: correct, partly correct, incorrect, no answer."""
_ATTACHMENT = "attachment://"
_ENDINGS = {"message": "step-limit", "turn": "step-limit", "time": "time-limit", "working": "time-limit"}


def is_sample(row: dict[str, Any]) -> bool:
    """Return whether a row is a sample of a log."""
    return {"messages", "epoch", "input"} <= row.keys()


def read(row: dict[str, Any]) -> Dialogue:
    """Read a sample.

    Raises:
        MalformedRow: it can't be converted.
    """
    metadata = dict(mapping(row.get("metadata")))
    record = mapping(metadata.pop("eef", None))
    task = string(row.get("id"))
    ending = _ending(row)
    fields: dict[str, Any] = {"metadata": metadata} if metadata else {}
    if row.get("scores"):
        fields["scores"] = row["scores"]
    if ending == "error":
        error = row["error"]
        fields["error"] = string(error.get("message")) if isinstance(error, dict) else string(error)
    return Dialogue(
        turns=tuple(turns_of(_resolved(messages_of(row, "messages"), mapping(row.get("attachments"))))),
        id=f"{task}-{row['epoch']}",
        task=task,
        reward=_reward(row.get("scores")),
        ending=ending,
        actor=string(mapping(row.get("output")).get("model")),
        record=record,
        fields=fields,
    )


def write(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """Write a sample. Its epoch is set when the log is written."""
    metadata = dict(mapping(dialogue.fields.get("metadata")))
    if dialogue.record:
        metadata["eef"] = dialogue.record
    written = messages(dialogue.turns, as_text=False, reasoning=True)
    last = next(message for message in reversed(written) if message["role"] == "assistant")
    completion = last["content"]
    for message in written:
        if thought := message.pop("reasoning_content", ""):
            text = {"type": "text", "text": message["content"]}
            message["content"] = [{"type": "reasoning", "reasoning": thought}, text]
        for call in message.get("tool_calls", ()):
            call |= {"function": call["function"]["name"], "arguments": call["function"]["arguments"]}
    first = next(message["content"] for message in written if message["role"] == "user")
    sample: dict[str, Any] = {
        "id": dialogue.task or dialogue.id,
        "epoch": 1,
        "input": first,
        "target": "",
        "messages": written,
        "output": {
            "model": dialogue.actor or "unknown",
            "choices": [{"message": last, "stop_reason": "stop"}],
            "completion": completion,
        },
        "metadata": metadata,
    }
    scores = dict(mapping(dialogue.fields.get("scores")))
    if dialogue.reward is not None and _reward(scores) != dialogue.reward:
        scores["reward"] = {"value": dialogue.reward}
    if scores:
        sample["scores"] = scores
    yield sample


def _ending(row: dict[str, Any]) -> str:
    if row.get("error"):
        return "error"
    limit = row.get("limit")
    return _ENDINGS.get(str(limit.get("type")), "gave-up") if isinstance(limit, dict) else ""


def header_of(samples: int, model: str) -> dict[str, Any]:
    """Return the part of a log that isn't about samples.

    Args:
        samples: their number.
        model: who played.
    """
    date = "1970-01-01T00:00:00+00:00"
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": "eef",
            "run_id": "eef",
            "created": date,
            "task": "eef",
            "task_id": "eef",
            "dataset": {"name": "eef", "samples": samples},
            "model": model or "unknown",
            "config": {"epochs": 1},
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {"total_samples": samples, "completed_samples": samples, "scores": []},
        "stats": {"started_at": date, "completed_at": date, "model_usage": {}},
    }


def _reward(scores: Any) -> float | None:
    """Return the first score with a numeric value; one named `reward` has priority."""
    if not isinstance(scores, dict):
        return None
    for _, score in sorted(scores.items(), key=lambda item: item[0] != "reward"):
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            value = next(iter(value.values()), None)
        if isinstance(value, str):
            value = _VALUES.get(value)
        if isinstance(value, int | float):
            return number(value)
    return None


def _resolved(value: Any, attachments: dict[str, Any]) -> Any:
    """Return a value with long texts, which a log stores apart, back in their places.

    Raises:
        MalformedRow: one is missing.
    """
    if isinstance(value, list):
        return [_resolved(each, attachments) for each in value]
    if isinstance(value, dict):
        return {key: _resolved(each, attachments) for key, each in value.items()}
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        found = attachments.get(value.removeprefix(_ATTACHMENT))
        if found is None:
            raise MalformedRow(f"the text {value!r} is missing among the attachments")
        return found
    return value
