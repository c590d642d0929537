"""Actions in answers that are JSON objects, or that name an action and its argument separately."""

from __future__ import annotations

import json
import re
from typing import Any

from eef_framework.chat.answer_patterns import ACTION_KEY, ACTIONS, INPUTS, PLACEHOLDER, THOUGHT_KEY, THOUGHTS
from eef_framework.chat.answer_text import AnswerText, FoundAction
from eef_framework.chat.spelling import admissible, tidy


def json_action(answer: AnswerText, start: int) -> tuple[FoundAction | None, int] | None:
    """Return the action of the JSON object that starts at a position, and the end of the object."""
    try:
        parsed, end = json.JSONDecoder(object_pairs_hook=_unique, strict=False).raw_decode(answer.text, start)
    except (ValueError, RecursionError):
        return None
    fields = {key.casefold(): value for key, value in parsed.items()} if isinstance(parsed, dict) else {}
    thoughts = [fields[key] for key in fields if re.fullmatch(THOUGHTS, key)]
    actions = [fields[key] for key in fields if re.fullmatch(ACTIONS, key)]
    inputs = [fields[key] for key in fields if re.fullmatch(INPUTS, key)]
    action = _spelt(answer, actions[0] if len(actions) == 1 else fields, inputs)
    if action is None:
        return None, end
    thought = thoughts[0] if thoughts and isinstance(thoughts[0], str) else None
    # A thought that comes first isn't part of the action. If it comes later, the object is one piece.
    thinks, acts = (key.search(answer.text, start, end) for key in (THOUGHT_KEY, ACTION_KEY))
    first = acts.start() if thinks and acts and thinks.start() < acts.start() else start
    return FoundAction(action, first, end, thought), end


def _spelt(answer: AnswerText, action: Any, inputs: list[Any]) -> str | None:
    """Return the action that a field of an object means, if that is certain."""
    if isinstance(action, str) and not inputs:
        line = next(iter(action.strip().splitlines()), "")
        found = admissible(line, answer.observation)
        if found:
            return found[0]
        return tidy(line) if line and not PLACEHOLDER.fullmatch(line[:200]) else None
    if isinstance(action, dict):
        names = [action[key] for key in ("name", "type", "action", "tool") if isinstance(action.get(key), str)]
        others = [value for key, value in action.items() if key not in ("name", "type", "action", "tool")]
        action, inputs = names[0] if len(names) == 1 else None, others
    return combined(answer, action, inputs[0]) if isinstance(action, str) and len(inputs) == 1 else None


def combined(answer: AnswerText, name: str, argument: Any) -> str | None:
    """Return the admissible action that a name and its argument mean, if there is one."""
    if isinstance(argument, str) and argument.lstrip().startswith("{"):
        try:
            argument = json.loads(argument, strict=False)
        except (ValueError, RecursionError):
            return None
    while isinstance(argument, dict) and len(argument) == 1:
        argument = next(iter(argument.values()))
    if not isinstance(argument, str | int) or isinstance(argument, bool):
        return None
    wordings = (name, f"{name}[{argument}]", f"{name} {argument}", f"{name}({argument})")
    found = (admissible(wording, answer.observation) for wording in wordings)
    return next((each[0] for each in found if each), None)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; reject duplicate keys, which are ambiguous."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found
