"""Harbor's Agent Trajectory Interchange Format: `{"schema_version": "ATIF-v1.6", "agent": ..., "steps": [...]}`.

What the environment returns is the `observation` of an agent's step. Steps that were copied from another trajectory,
and those that no model made, have no loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eef_framework.chat.tool_calls import Call, as_result, results_of, with_calls, without_calls
from eef_framework.formats.dialogue import Dialogue, MalformedRow, Turn, mapping, messages_of, number, string, text_of
from eef_framework.formats.tool_calls import split_reasoning, with_reasoning

VERSION = "ATIF-v1.6"
"""The version that is written: newer ones only add fields that aren't used here."""
_AGENTS = ("agent", "assistant")


def is_atif(row: dict[str, Any]) -> bool:
    """Return whether a row is such a trajectory."""
    return str(row.get("schema_version", "")).startswith("ATIF-")


def read(row: dict[str, Any]) -> Dialogue:
    """Read a trajectory.

    Raises:
        MalformedRow: it can't be converted.
    """
    turns: list[Turn] = []
    for position, step in enumerate(messages_of(row, "steps"), 1):
        turns += _turns(step, position, bool(turns))
    extra = dict(mapping(row.get("extra")))
    record = mapping(extra.pop("eef", None))
    final = mapping(mapping(row.get("final_metrics")).get("extra"))
    id_ = string(row.get("trajectory_id") or row.get("session_id"))
    reward = extra.pop("reward", None)
    agent = mapping(row.get("agent"))
    known = {"schema_version", "session_id", "trajectory_id", "agent", "steps", "extra", "final_metrics"}
    fields = {key: value for key, value in row.items() if key not in known}
    if agent.get("tool_definitions"):
        fields["tools"] = agent["tool_definitions"]
    return Dialogue(
        turns=tuple(turns),
        id=id_,
        task=string(extra.pop("task_id", None)) or id_,
        reward=number(final.get("reward") if reward is None else reward),
        actor=string(agent.get("name")),
        record=record,
        fields=fields | ({"extra": extra} if extra else {}),
    )


def write(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """Write a trajectory."""
    steps: list[dict[str, Any]] = []
    called: list[str] = []
    for turn in dialogue.turns:
        if turn.role != "user" or not steps or steps[-1]["source"] != "agent":
            step, called = _step(turn, len(steps) + 1)
            steps.append(step)
            continue
        results = results_of(turn.content, len(called)) if called else None
        steps[-1]["observation"] = {
            "results": [{"content": turn.content}]
            if results is None
            else [{"source_call_id": id_, "content": text} for id_, text in zip(called, results, strict=True)]
        }
    extra: dict[str, Any] = dict(mapping(dialogue.fields.get("extra")))
    if dialogue.task not in ("", dialogue.id):
        extra["task_id"] = dialogue.task
    if dialogue.reward is not None:
        extra["reward"] = dialogue.reward
    if dialogue.record:
        extra["eef"] = dialogue.record
    yield {
        "schema_version": VERSION,
        "session_id": dialogue.id,
        "agent": {
            "name": dialogue.actor or "unknown",
            "version": "unknown",
            **({"tool_definitions": dialogue.fields["tools"]} if dialogue.fields.get("tools") else {}),
        },
        "steps": steps,
        "final_metrics": {"total_steps": len(steps)},
        **({"extra": extra} if extra else {}),
    }


def _turns(step: dict[str, Any], position: int, begun: bool) -> Iterator[Turn]:
    source = step.get("source")
    text = text_of(step.get("message"), f"the message of step {position}")
    if source in _AGENTS:
        calls = [_call(call, position) for call in step.get("tool_calls") or ()]
        reasoning = step.get("reasoning_content")
        text = with_calls(text, calls)
        unlearned = step.get("is_copied_context") or step.get("llm_call_count") == 0
        yield Turn(
            role="assistant",
            content=with_reasoning(reasoning, text) if isinstance(reasoning, str) else text,
            weight=0.0 if unlearned else None,
        )
    elif source == "system" and not begun:
        yield Turn(role="system", content=text)
    elif source in ("user", "system"):
        if text or source == "user":
            yield Turn(role="user", content=text)
    else:
        raise MalformedRow(f"step {position} has the source {source!r}; expected system, user or agent")
    results = mapping(step.get("observation")).get("results")
    if results:
        yield Turn(role="user", content="\n".join(_result(each, position) for each in results))


def _call(call: Any, position: int) -> Call:
    if not isinstance(call, dict) or not isinstance(call.get("function_name"), str):
        raise MalformedRow(f"step {position}: a tool call has no 'function_name'")
    return Call(call["function_name"], call.get("arguments", {}))


def _result(result: Any, position: int) -> str:
    given = mapping(result)
    text = text_of(given.get("content"), f"the observation of step {position}")
    return as_result(text) if given.get("source_call_id") else text


def _step(turn: Turn, number: int) -> tuple[dict[str, Any], list[str]]:
    """Return a step, and the ids of its calls."""
    if turn.role != "assistant":
        return {"step_id": number, "source": turn.role, "message": turn.content}, []
    reasoning, text = split_reasoning(turn)
    content, calls = without_calls(text)
    step: dict[str, Any] = {"step_id": number, "source": "agent", "message": content}
    ids = [f"call_{number}_{position}" for position in range(1, len(calls) + 1)]
    if reasoning:
        step["reasoning_content"] = reasoning
    if calls:
        step["tool_calls"] = [
            {"tool_call_id": id_, "function_name": call.name, "arguments": call.arguments}
            for id_, call in zip(ids, calls, strict=True)
        ]
    if turn.token_ids is not None:
        step["metrics"] = {"completion_token_ids": list(turn.token_ids)}
        if turn.logprobs is not None:
            step["metrics"]["logprobs"] = list(turn.logprobs)
    if turn.weight == 0:
        step["is_copied_context"] = True
    return step, ids
