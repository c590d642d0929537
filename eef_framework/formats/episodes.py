"""Dialogues as trajectories, and back.

A trajectory's `info["imported"]` says which file and row it comes from and whether the environment has confirmed it
(see `formats.verification`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import to_json

from eef_framework.chat import reasoning
from eef_framework.chat.format import ChatFormat
from eef_framework.chat.tool_calls import ACT, with_calls, without_calls
from eef_framework.formats.dialogue import Dialogue, MalformedRow, Turn, mapping, reason_of, string
from eef_framework.formats.tool_calls import with_reasoning, without_reasoning
from eef_framework.records import Ending, Info, Observation, Response, Step, Task, Trajectory

KIND = "trajectory"
_FORMAT = ChatFormat()
_OK = 120
"""Longest answer that acknowledges instructions, in characters."""


def dialogue_of(trajectory: Trajectory, with_record: bool = True) -> Dialogue:
    """Return a trajectory as a dialogue.

    Args:
        trajectory: the trajectory.
        with_record: keep what a conversation doesn't show, so that the trajectory can be read back unchanged.
    """
    info = dict(trajectory.info)
    imported = mapping(info.get("imported"))
    preamble = [
        Turn(role=role, content=text, weight=0.0 if role == "assistant" else None, preamble=True)
        for role, text in _pairs(info.get("preamble"))
    ]
    turns = [Turn(role="user", content=trajectory.initial.text)]
    for number, step in enumerate(trajectory.steps):
        turns += [_turn(step, trajectory, number), Turn(role="user", content=step.observation.text)]
    if not turns[-1].content and len(turns) > 1:
        turns.pop()
    return Dialogue(
        turns=(*preamble, *turns),
        id=trajectory.id,
        task=trajectory.task.id,
        reward=None if imported and not imported.get("reward", True) else trajectory.reward,
        ending="" if imported and not imported.get("ending", True) else trajectory.ending,
        actor=trajectory.actor,
        record=_record(trajectory, turns) if with_record else {},
        fields=_tools(trajectory) | mapping(info.get("fields")),
    )


def _tools(trajectory: Trajectory) -> dict[str, Any]:
    """Return the tools that a trajectory calls, and those declared with them, as a field."""
    texts = (step.response.text for step in trajectory.steps if step.response is not None)
    called = {call.name for text in texts for call in without_calls(text)[1]}
    declared = trajectory.provenance.tools if trajectory.provenance and called else ()
    tools = [tool.function for tool in (*declared, ACT) if tool in declared or tool.name in called]
    return {"tools": tools} if tools else {}


def trajectory_of(dialogue: Dialogue) -> Trajectory:
    """Return a dialogue as a trajectory.

    Raises:
        MalformedRow: it can't be one.
    """
    dialogue = dialogue.ordered()
    head, turns = _split(dialogue)
    if dialogue.record.get("kind") == KIND:
        recorded = _recorded(dialogue.record, turns)
        if recorded is not None:
            return recorded
    steps = tuple(_step(turns, position) for position in range(1, len(turns), 2))
    info: Info = {}
    if head:
        info["preamble"] = [[turn.role, turn.content] for turn in head]
    if dialogue.fields:
        info["fields"] = dialogue.fields
    known = dialogue.ending in get_args(Ending)
    return _valid(
        {
            "id": dialogue.id,
            "task": Task(id=dialogue.task, environment="", split=""),
            "actor": dialogue.actor,
            "initial": Observation(text=turns[0].content),
            "steps": steps,
            "reward": dialogue.reward or 0.0,
            "ending": dialogue.ending if known else "terminated",
            "error": str(dialogue.fields.get("error", "")) if dialogue.ending == "error" else "",
            "info": info | {"imported": {"reward": dialogue.reward is not None, "ending": known}},
        }
    )


def _turn(step: Step, trajectory: Trajectory, number: int) -> Turn:
    response = step.response
    text = response.text if response is not None else _FORMAT.answer(step.action)
    weight = step.info.get("weight", 0.0 if number < trajectory.prefix_length else None)
    return Turn(
        role="assistant",
        content=text,
        weight=float(weight) if isinstance(weight, int | float) else None,
        action=step.action,
        thought=response.thought if response is not None else "",
        reasoning=response.thought if response is not None and response.thought not in response.text else "",
        token_ids=response.token_ids if response is not None else None,
        logprobs=response.logprobs if response is not None else None,
        info={"thoughts": step.info["thoughts"]} if "thoughts" in step.info else {},
    )


def _record(trajectory: Trajectory, turns: list[Turn]) -> dict[str, Any]:
    """Return a trajectory without the texts that the conversation has."""
    data = trajectory.model_dump(mode="json", exclude_defaults=True, exclude={"version", "initial", "steps"})
    data |= {"kind": KIND, "task": trajectory.task.model_dump(mode="json", exclude_defaults=True)}
    if seen := _hints(trajectory.initial):
        data["initial"] = seen
    data["steps"] = [_step_record(step, turn) for step, turn in zip(trajectory.steps, turns[1::2], strict=True)]
    return data


def _step_record(step: Step, turn: Turn) -> dict[str, Any]:
    data = step.model_dump(mode="json", exclude_defaults=True, exclude={"action", "observation", "response"})
    if _action(turn.content)[0] != step.action:
        data["action"] = step.action
    if seen := _hints(step.observation):
        data["observation"] = seen
    if turn.reasoning:
        data["apart"] = True
    if step.response is None:
        data["response"] = None
    elif own := step.response.model_dump(mode="json", exclude_defaults=True, exclude={"text"}):
        data["response"] = own
    return data


def _hints(observation: Observation) -> dict[str, Any]:
    return observation.model_dump(mode="json", exclude_defaults=True, exclude={"text"})


def _recorded(record: dict[str, Any], turns: tuple[Turn, ...]) -> Trajectory | None:
    """Return the trajectory that a dialogue was made of; None if its messages were changed in number since."""
    data = {key: value for key, value in record.items() if key != "kind"}
    given = data.pop("steps", None)
    if (
        not isinstance(given, list)
        or len(given) != len(turns) // 2
        or not all(isinstance(each, dict) for each in given)
    ):
        return None
    steps = []
    for position, own in enumerate(given):
        said, seen = turns[2 * position + 1], turns[2 * position + 2 : 2 * position + 3]
        # Formats with a field for reasoning have that of a server there, too; it isn't part of our text.
        thought = string(mapping(own.get("response")).get("thought"))
        text = said.content.removeprefix(with_reasoning(thought, "") if own.get("apart") else "")
        action = said.action if said.action is not None else _action(text)[0]
        step = {"action": action, **{key: value for key, value in own.items() if key != "apart"}}
        step["observation"] = {**mapping(own.get("observation")), "text": seen[0].content if seen else ""}
        if own.get("response", {}) is not None:
            step["response"] = {"text": text, **mapping(own.get("response"))}
        steps.append(step)
    initial = {**mapping(data.pop("initial", None)), "text": turns[0].content}
    return _valid({**data, "initial": initial, "steps": steps})


def _valid(data: dict[str, Any]) -> Trajectory:
    try:
        return Trajectory.model_validate_json(to_json(data, inf_nan_mode="constants"))
    except ValidationError as cause:
        raise MalformedRow(reason_of(cause)) from cause


def _split(dialogue: Dialogue) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """Split off what stands before the first observation: a system message, and instructions that are acknowledged."""
    turns = dialogue.turns
    first = 1 if turns[0].role == "system" else 0
    answers = [turn for turn in turns[first:] if turn.role == "assistant"]
    known = dialogue.record.get("kind") == KIND
    preamble = _pairs(mapping(dialogue.record.get("info")).get("preamble")) if known else []
    if known:
        first = len(preamble)
    elif len(answers) > 1 and len(turns) > first + 2 and _acknowledges(answers):
        first += 2
    if first >= len(turns):
        raise MalformedRow("nothing follows the instructions")
    return turns[:first], turns[first:]


def _acknowledges(answers: list[Turn]) -> bool:
    """Return whether the first answer only acknowledges instructions: it has no loss, or says so."""
    first = answers[0]
    if _action(first.content)[1]:
        return False
    if first.weight == 0 and any(answer.weight for answer in answers):
        return True
    return len(first.content) <= _OK and first.content.strip().casefold().startswith("ok")


def _step(turns: tuple[Turn, ...], position: int) -> Step:
    said, seen = turns[position], turns[position + 1] if position + 1 < len(turns) else None
    action, _, thought = _action(said.content)
    info: Info = dict(said.info)
    if said.weight is not None and said.weight != 1:
        info["weight"] = said.weight
    return Step(
        action=said.action if said.action is not None else action,
        observation=Observation(text=seen.content if seen else ""),
        response=Response(text=said.content, thought=said.thought or thought),
        info=info,
    )


def _action(text: str) -> tuple[str, bool, str]:
    """Return the action in an answer, whether it is marked as one, and the thought.

    Where none is marked, all of the answer but its reasoning is the action. Reasoning is the thought if there isn't
    another.
    """
    thought, answer = without_reasoning(text)
    content, calls = without_calls(answer)
    if calls:
        return with_calls("", calls), True, content.strip() or thought
    found = _FORMAT.parse(text, Observation(text=""))
    if found.parsed:
        return found.action, True, found.thought or thought
    return reasoning.without_reasoning(text) or text.strip() or text, False, thought


def _pairs(value: Any) -> list[tuple[Any, str]]:
    if not isinstance(value, list):
        return []
    return [(each[0], each[1]) for each in value if isinstance(each, list) and len(each) == 2]


def named(trajectory: Trajectory, id_: str, **imported: Any) -> Trajectory:
    """Return an imported trajectory with an id and with where it comes from."""
    known = mapping(trajectory.info.get("imported"))
    task = trajectory.task if trajectory.task.id else trajectory.task.changed(id=id_)
    changed: Trajectory = trajectory.changed(
        id=id_, task=task, info={**trajectory.info, "imported": {**known, **imported}}
    )
    return changed


def without_answers_cut(dialogue: Dialogue) -> Dialogue:
    """Return a dialogue that ends with an answer, as a training conversation does."""
    turns = dialogue.turns
    return replace(dialogue, turns=turns[:-1]) if turns and turns[-1].role == "user" else dialogue
