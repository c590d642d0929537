"""Text of observations: as written by ScienceWorld, or compact for models with short contexts."""

from __future__ import annotations

import re
from typing import Final

from eef_sciworld.state import View

RULES: Final = """\
You are in a small world with a house, and have a task of elementary science to do there. Give one action in every turn.
Objects are named as they are described, for example `orange`, `flower pot 2` or `door to kitchen`. Actions:
open OBJ / close OBJ, activate OBJ / deactivate OBJ, connect OBJ to OBJ / disconnect OBJ, use OBJ [on OBJ],
look around, look at OBJ, look in OBJ, read OBJ, move OBJ to OBJ / pick up OBJ / put down OBJ, pour OBJ into OBJ,
dunk OBJ into OBJ, mix OBJ, go to LOC / teleport to LOC, eat OBJ, flush OBJ, focus on OBJ, wait / wait1, inventory.
`focus on` tells which object you mean as your answer: a wrong one can end the task. `wait1` lets one step of time pass,
`wait` ten. Where a request is ambiguous, answer with the number of what you mean."""
"""Description of the actions; the simulator's documentation has more (arXiv 2203.07540)."""

MAX_ANSWER_WORDS = 25
MAX_LINE_WORDS = 12
MAX_ROOM_WORDS = 90
"""Limits of compact views."""

USEFUL_VERBS: Final = ("focus on", "go to", "teleport to", "pick up", "open", "activate", "deactivate", "wait1")
INDOORS: Final = ("art studio", "bathroom", "bedroom", "foundry", "greenhouse", "hallway", "kitchen", "living room")
ROOMS: Final = (*INDOORS, "outside", "workshop")
TWO_OBJECTS: Final = re.compile(r"^(?:move|use|pour|dunk|connect) (?P<first>.+?) (?:to|on|into) (?P<second>.+)$")


def text_view(view: View, task: str = "") -> str:
    """Return the simulator's text, after the task if it is given."""
    return f"{task}\n{view.outcome.text}" if task else view.outcome.text


def compact_view(view: View, task: str, action: str = "") -> str:
    """Return a description of about 50 to 150 words: task, last action and its answer, room, doors, inventory."""
    place, things, doors = _read_room(view.look)
    lines = [f"task {_short_task(task)}"]
    if action:
        lines.append(
            f"{action} : {_first_words(_plain(view.outcome.text), MAX_ANSWER_WORDS)}"
            if _is_informative(view)
            else action
        )
    lines += [f"in {place}", *_fitting(things, MAX_ROOM_WORDS)]
    lines.append(f"doors {', '.join(doors)}")
    lines.append(f"have {', '.join(map(_object, _indented(view.inventory))) or 'nothing'}")
    return "\n".join(lines)


def compact_actions(actions: tuple[str, ...], task: str) -> tuple[str, ...]:
    """Return the listed actions that are useful for tasks.

    These are actions on one object that select or change it (`mix` only in tasks about chemistry), and actions on two
    objects if the task names the second one, or the first one as a tool. If the simulator asks a question, all
    actions are answers to it, and all are returned.
    """
    if all(action.isdecimal() for action in actions):
        return actions
    return tuple(action for action in actions if _is_useful(action, task))


def _is_useful(action: str, task: str) -> bool:
    pair = TWO_OBJECTS.match(action)
    if pair:
        named = pair["first"] if action.startswith("use") else pair["second"]
        return named in task and named not in ROOMS
    verbs = (*USEFUL_VERBS, "mix") if "chemistry" in task else USEFUL_VERBS
    return action == "look around" or (action.startswith(verbs) and not action.startswith("go to door"))


def _is_informative(view: View) -> bool:
    """Return whether the answer contains more than the room's description."""
    return view.outcome.text != view.look and "In it, you see" not in view.outcome.text


def _short_task(task: str) -> str:
    return _plain(task.removeprefix("Your task is to "))


def _read_room(look: str) -> tuple[str, list[str], list[str]]:
    """Return the room's name, the objects in it, and the rooms that its doors lead to."""
    head, _, ways = look.partition("You also see:")
    named = re.search(r"is called the ([^.]+)\.", head)
    things = [thing for thing in map(_object, _indented(head)) if thing not in ("agent", "air")]
    doors: list[str] = re.findall(r"A door to the (.+?) \(", ways)
    return named[1] if named else "nowhere", things, doors


def _object(line: str) -> str:
    return _first_words(_plain(line), MAX_LINE_WORDS)


def _plain(text: str) -> str:
    """Remove articles, punctuation and phrases without information."""
    text = re.sub(r"\(containing nothing\)|substance called|which is|currently reading", " ", text)
    text = re.sub(r"\b(?:a|an|the|The|A|In|On) ", "", text.replace("a(n)", "").replace("(s)", ""))
    return " ".join(re.sub(r"[.,;:()]", " ", text).split()).lower()


def _indented(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.startswith("\t")]


def _first_words(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _fitting(lines: list[str], words: int) -> list[str]:
    """Return as many of the first lines as fit into a number of words."""
    kept: list[str] = []
    for line in lines:
        words -= len(line.split())
        if words < 0:
            break
        kept.append(line)
    return kept
