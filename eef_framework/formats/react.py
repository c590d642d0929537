"""ReAct logs (arXiv 2210.03629): `{"task_id": ..., "reward": ..., "steps": [{"action": ..., "observation": ...}]}`.

The first action may be `reset`, whose observation is the initial one. Actions `think[...]` are thoughts: they are
joined with the action that follows. A row may also be a transcript: text with `Thought:`, `Action:` and `Observation:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from eef_framework.chat.format import ChatFormat
from eef_framework.formats.dialogue import Dialogue, MalformedRow, Turn, mapping, messages_of, number, string, text_of
from eef_framework.records import Observation

_TEXTS = ("trajectory", "transcript", "traj", "text", "prompt")
_LABEL = re.compile(r"^[ \t]*(Thought|Action|Observation)[ \t]*\d*[ \t]*:[ \t]*", re.MULTILINE)
_THINK = re.compile(r"think\[(?P<bracketed>.*?)\]?|think:\s*(?P<labelled>.*)", re.DOTALL)
_ACKNOWLEDGED = "OK."
_INITIAL = ("initial", "observation", "instruction", "question", "task")
_FORMAT = ChatFormat()


def is_react(row: dict[str, Any]) -> bool:
    """Return whether a row has steps with actions, or a transcript."""
    steps = row.get("steps")
    if isinstance(steps, list) and any(isinstance(each, dict) and "action" in each for each in steps):
        return True
    return _transcript(row) is not None


def read(row: dict[str, Any]) -> Dialogue:
    """Read a row.

    Raises:
        MalformedRow: it can't be converted.
    """
    known = {"id", "task_id", "reward", "steps", "eef", "finished"}
    key = _transcript(row)
    unfinished: list[dict[str, Any]] = []
    if key is not None:
        turns = list(_from_text(row[key]))
        known.add(key)
    else:
        steps = messages_of(row, "steps")
        first, steps = _initial(row, steps)
        if first:
            known.add(first)
        turns, unfinished = _from_steps(row, first, steps)
    fields = {name: value for name, value in row.items() if name not in known}
    if unfinished:
        fields["unfinished"] = unfinished
    finished = row.get("finished")
    id_ = string(row.get("id", row.get("task_id")))
    return Dialogue(
        turns=tuple(turns),
        id=id_,
        task=string(row.get("task_id", id_)),
        reward=number(row.get("reward")),
        ending="" if finished is None else "terminated" if finished else "step-limit",
        record=mapping(row.get("eef")),
        fields=fields,
    )


def write(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    """Write a row with steps.

    Raises:
        MalformedRow: the conversation doesn't begin with an observation.
    """
    row: dict[str, Any] = {"task_id": dialogue.task or dialogue.id}
    if dialogue.id not in ("", row["task_id"]):
        row["id"] = dialogue.id
    fields = dict(dialogue.fields)
    if dialogue.reward is not None:
        row["reward"] = dialogue.reward
    if dialogue.ending:
        row["finished"] = dialogue.ending == "terminated"
    turns = [turn for turn in dialogue.turns if turn.role != "system" and not turn.preamble]
    steps = [{"action": "reset", "observation": turns[0].content}]
    for position in range(1, len(turns), 2):
        seen = turns[position + 1].content if position + 1 < len(turns) else ""
        steps += [*_thoughts(turns[position]), {"action": _action(turns[position]), "observation": seen}]
    steps += fields.pop("unfinished", [])
    row["steps"] = steps
    row |= {key: value for key, value in fields.items() if key not in row}
    if dialogue.record:
        row["eef"] = _with_texts(dialogue.record, turns)
    yield row


def _with_texts(record: dict[str, Any], turns: list[Turn]) -> dict[str, Any]:
    """Return our record with the answers that thought and action don't determine."""
    steps = []
    for step, turn in zip(record.get("steps", ()), turns[1::2], strict=True):
        response = step.get("response", {})
        written = _FORMAT.answer(_action(turn), thought_in(turn))
        steps.append(
            step
            if response is None or turn.content == written
            else {**step, "response": {"text": turn.content, **response}}
        )
    return {**record, "steps": steps}


def thought_in(turn: Turn) -> str:
    """Return the thought in a turn of the agent."""
    return turn.thought if turn.action is not None else _FORMAT.parse(turn.content, Observation(text="")).thought


def _action(turn: Turn) -> str:
    if turn.action is not None:
        return turn.action
    answer = _FORMAT.parse(turn.content, Observation(text=""))
    return answer.action if answer.parsed else turn.content


def _thoughts(turn: Turn) -> list[dict[str, Any]]:
    if "thoughts" in turn.info:
        return list(turn.info["thoughts"])
    thought = thought_in(turn)
    return [{"action": f"think[{thought}]", "observation": _ACKNOWLEDGED}] if thought else []


def _initial(row: dict[str, Any], steps: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the key of the initial observation, empty where the first step has it, and the steps after it."""
    if steps[0].get("action") in ("reset", "reset[]", "start", "", None) and "observation" in steps[0]:
        return "", steps
    for key in _INITIAL:
        if isinstance(row.get(key), str):
            return key, steps
    raise MalformedRow(f"there is no initial observation: no first step 'reset', and none of {', '.join(_INITIAL)}")


def _from_steps(
    row: dict[str, Any], first: str, steps: list[dict[str, Any]]
) -> tuple[list[Turn], list[dict[str, Any]]]:
    """Return the turns, and the thoughts at the end that no action follows."""
    initial = row[first] if first else text_of(steps[0]["observation"], "the first observation")
    turns = [Turn(role="user", content=initial)]
    thoughts: list[dict[str, Any]] = []
    for position, step in enumerate(steps if first else steps[1:], 1 if first else 2):
        action = step.get("action")
        if not isinstance(action, str):
            raise MalformedRow(f"step {position} has the action {action!r}; expected text")
        if "observation" not in step:
            raise MalformedRow(f"step {position} has no 'observation'")
        if _THINK.fullmatch(action):
            thoughts.append(step)
            continue
        own = step.get("thought")
        said = [own] if isinstance(own, str) and own.strip() else []
        thought = "\n".join([*map(_thought, thoughts), *said])
        turn = Turn(role="assistant", content=_FORMAT.answer(action, thought), action=action, thought=thought)
        if thoughts and _thoughts(turn) != thoughts:
            turn = replace(turn, info={"thoughts": thoughts})
        turns += [turn, Turn(role="user", content=text_of(step["observation"], f"the observation of step {position}"))]
        thoughts = []
    return turns, thoughts


def _thought(step: dict[str, Any]) -> str:
    found = _THINK.fullmatch(step["action"])
    return ((found["bracketed"] or found["labelled"] or "") if found else "").strip()


def _transcript(row: dict[str, Any]) -> str | None:
    for key in _TEXTS:
        text = row.get(key)
        if isinstance(text, str) and {"Action", "Observation"} <= {label[1] for label in _LABEL.finditer(text)}:
            return key
    return None


def _from_text(text: str) -> Iterator[Turn]:
    labels = list(_LABEL.finditer(text))
    ends = [label.start() for label in labels[1:]] + [len(text)]
    initial = text[: labels[0].start()].strip()
    said: list[str] = []
    if labels[0][1] == "Observation":
        yield Turn(role="user", content="\n".join(filter(None, [initial, text[labels[0].end() : ends[0]].strip()])))
        labels, ends = labels[1:], ends[1:]
    else:
        yield Turn(role="user", content=initial)
    for label, end in zip(labels, ends, strict=True):
        part = text[label.end() : end].strip()
        if label[1] == "Observation":
            if said:
                yield Turn(role="assistant", content="\n".join(said))
            yield Turn(role="user", content=part)
            said = []
        else:
            said.append(f"{label[1]}: {part}")
    if said:
        yield Turn(role="assistant", content="\n".join(said))
