"""Episodes of Prime Intellect's verifiers: a line of its `traces.jsonl`.

An episode holds a trace for each agent, and a trace is a graph of messages: every path from its root to a leaf is a
conversation, with loss on the messages that the model sampled. In version 0.2 a line is a trace. An episode is written
with one trace and one path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eef_framework.formats.chat_messages import messages, turns_of
from eef_framework.formats.dialogue import Dialogue, MalformedRow, mapping, messages_of, number, string

Row = dict[str, Any]

VERSION = 1
"""The version of a trace's schema that is written."""
_KEPT = ("task", "rewards", "metrics", "info", "errors", "stop_condition")
"""What is kept of a trace beside its messages."""
_AGENT = {"name": "agent", "trainable": True}
_LIMITS = ("max_turns", "max_input_tokens", "max_output_tokens", "max_total_tokens")
_STOPS = {"step-limit": "max_turns", "truncated": "max_turns", "time-limit": "rollout_timeout", "error": "error"}
"""Our endings as conditions at which a trace stopped."""
_COMPLETED = "agent_completed"
"""The condition for all other endings."""


def is_episode(row: Row) -> bool:
    """Return whether a row is an episode, or a trace."""
    return isinstance(row.get("traces"), list) or ("task" in row and isinstance(row.get("nodes"), list))


def conversations(row: Row) -> Iterator[tuple[str, Row]]:
    """Yield each conversation of an episode, with its place.

    Raises:
        MalformedRow: a trace isn't one.
    """
    traces = row.get("traces", [row])
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        raise MalformedRow("'traces' isn't a list of traces")
    if not traces:
        raise MalformedRow("the episode has no trace")
    for place, trace in enumerate(traces):
        where = f"trace {place}" if len(traces) > 1 else ""
        part = {"trace": trace, "env": row.get("env")}
        try:
            leaves = _leaves(trace)
        except MalformedRow as cause:  # one trace, not the whole episode
            yield where, {**part, "problem": str(cause)}
            continue
        for leaf in leaves:
            path = f"the path to message {leaf}" if len(leaves) > 1 else ""
            yield ", ".join(filter(None, (where, path))), {**part, "leaf": leaf, "single": len(leaves) == 1}


def read(row: Row) -> Dialogue:
    """Read one conversation of an episode, as `conversations` yields it.

    Raises:
        MalformedRow: it can't be converted.
    """
    if "problem" in row:
        raise MalformedRow(row["problem"])
    trace, leaf = row["trace"], row["leaf"]
    agent = mapping(trace.get("agent"))
    nodes = _path(trace["nodes"], leaf)
    trained = agent.get("trainable", True) is not False and _is_trained(trace, leaf)
    given = []
    for node in nodes:
        message = mapping(node.get("message"))
        untrained = message.get("role") == "assistant" and not (trained and node.get("sampled"))
        given.append({**message, "weight": 0} if untrained else message)
    kept = {key: trace[key] for key in _KEPT if trace.get(key)}
    info = dict(mapping(kept.get("info")))
    record = mapping(info.pop("eef", None))
    own = {key: agent[key] for key in ("name", "trainable") if key in agent}
    kept |= {"info": info, "env": row["env"], "agent": own if own != _AGENT else {}}
    kept = {key: value for key, value in kept.items() if value}
    id_ = string(trace.get("id"))
    return Dialogue(
        turns=tuple(turns_of(given)),
        id=id_ if row["single"] or not id_ else f"{id_}-{leaf}",
        task=_task(trace),
        reward=_reward(trace.get("rewards")),
        ending=_ending(trace),
        actor=string(mapping(agent.get("config")).get("model")),
        record=record,
        fields={"verifiers": kept} if kept else {},
    )


def write(dialogue: Dialogue) -> Iterator[Row]:
    """Write an episode with one trace."""
    kept = mapping(dialogue.fields.get("verifiers"))
    task = mapping(kept.get("task")) or _task_of(dialogue)
    info = dict(mapping(kept.get("info")))
    if dialogue.record:
        info["eef"] = dialogue.record
    rewards = mapping(kept.get("rewards"))
    if dialogue.reward is None:
        rewards = {}
    elif _reward(rewards) != dialogue.reward:
        rewards = {"reward": {"score": dialogue.reward, "weight": 1.0}}
    failed = dialogue.ending == "error"
    errors = kept.get("errors") or (
        [{"type": "Error", "message": string(dialogue.fields.get("error"))}] if failed else []
    )
    trace = {
        "version": VERSION,
        "id": dialogue.id,
        "verifiers": {"version": "unknown"},
        "task": task,
        "agent": {"config": {"model": dialogue.actor or "unknown"}, **_AGENT, **mapping(kept.get("agent"))},
        "nodes": list(_nodes(dialogue)),
        "rewards": rewards,
        "metrics": mapping(kept.get("metrics")),
        "info": info,
        "is_completed": True,
        "ok": not failed,
        "stop_condition": kept.get("stop_condition") or _STOPS.get(dialogue.ending, _COMPLETED),
        "errors": errors,
    }
    yield {
        "id": dialogue.id,
        "env": mapping(kept.get("env")),
        "task": task,
        "ok": not failed,
        "errors": [],
        "traces": [trace],
    }


def _leaves(trace: Row) -> list[int]:
    """Return the indices of the messages that no other continues.

    Raises:
        MalformedRow: a message's parent doesn't precede it.
    """
    nodes = messages_of(trace, "nodes")
    parents = [node.get("parent") for node in nodes]
    for index, parent in enumerate(parents):
        if parent is not None and not (isinstance(parent, int) and 0 <= parent < index):
            raise MalformedRow(f"message {index} has the parent {parent!r}; expected the index of an earlier message")
    return sorted(set(range(len(nodes))) - set(parents))


def _path(nodes: list[Row], leaf: int) -> list[Row]:
    """Return the messages from a root to a leaf."""
    path = [nodes[leaf]]
    while (parent := path[-1].get("parent")) is not None:
        path.append(nodes[parent])
    return path[::-1]


def _is_trained(trace: Row, leaf: int) -> bool:
    """Return whether verifiers trains on the path to a leaf: not on a summary that the agent didn't continue from."""

    def links(node: Row) -> list[Row]:
        return [mapping(link) for link in node.get("semantic_parents") or ()]

    attempts = any(link.get("type") == "compaction_attempt" for link in links(trace["nodes"][leaf]))
    accepted = any(
        link.get("type") == "compaction" and link.get("node") == leaf for node in trace["nodes"] for link in links(node)
    )
    return accepted or not attempts


def _nodes(dialogue: Dialogue) -> Iterator[Row]:
    written = messages(dialogue.turns, weighted=True, reasoning=True)
    for index, message in enumerate(written):
        sampled = bool(message.pop("weight", 0))
        for call in message.get("tool_calls", ()):
            call |= call.pop("function")
        if "tool_calls" in message and not message["content"]:
            message["content"] = None
        yield {"parent": index - 1 if index else None, "message": message, "sampled": sampled, "timestamp": 0.0}


def _task(trace: Row) -> str:
    task = mapping(trace.get("task"))
    data = mapping(task.get("data"))
    return next((string(each) for each in (data.get("id"), data.get("idx"), task.get("key")) if each is not None), "")


def _task_of(dialogue: Dialogue) -> Row:
    first = {turn.role: turn.content for turn in reversed(dialogue.turns)}
    data = {"id": dialogue.task or dialogue.id, "prompt": first["user"]}
    if "system" in first:
        data["system_prompt"] = first["system"]
    return {"type": "Task", "data": data, "key": dialogue.task or dialogue.id}


def _reward(rewards: Any) -> float | None:
    """Return the weighted sum of rewards, as verifiers does; None if there is none."""
    values = [
        score * weight
        for given in mapping(rewards).values()
        for each in [given if isinstance(given, dict) else {"score": given}]  # a number in version 0.2
        if (score := number(each.get("score"))) is not None and (weight := number(each.get("weight", 1))) is not None
    ]
    return sum(values) if values else None


def _ending(trace: Row) -> str:
    stop = string(trace.get("stop_condition"))
    if trace.get("errors") and not trace.get("ok"):
        return "error"
    if stop in _LIMITS:
        return "step-limit"
    if trace.get("is_timeout") or stop.endswith("_timeout"):
        return "time-limit"
    return "terminated" if stop else ""
