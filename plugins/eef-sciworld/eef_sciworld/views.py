"""How states read: ScienceWorld's own words, or few of them for models with short contexts."""

from __future__ import annotations

import re
from typing import Final

from eef_sciworld.world import View

RULES: Final = """\
You are in a small world with a house, and have a task of elementary science to do there. Give one action in every turn.
Objects are named as they are described, for example `orange`, `flower pot 2` or `door to kitchen`. Actions:
open OBJ / close OBJ, activate OBJ / deactivate OBJ, connect OBJ to OBJ / disconnect OBJ, use OBJ [on OBJ],
look around, look at OBJ, look in OBJ, read OBJ, move OBJ to OBJ / pick up OBJ / put down OBJ, pour OBJ into OBJ,
dunk OBJ into OBJ, mix OBJ, go to LOC / teleport to LOC, eat OBJ, flush OBJ, focus on OBJ, wait / wait1, inventory.
`focus on` tells which object you mean as your answer: a wrong one can end the task. `wait1` lets one step of time pass,
`wait` ten. Where a request is ambiguous, answer with the number of what you mean."""
"""The actions in words; what each does is in the simulator's documentation (arXiv 2203.07540)."""

LONGEST_ANSWER = 25
LONGEST_LINE = 12
LONGEST_VIEW = 90
"""In words, for compact views."""

KEPT_VERBS: Final = ("focus on", "go to", "teleport to", "pick up", "open", "activate", "deactivate", "wait1")
INDOORS: Final = ("art studio", "bathroom", "bedroom", "foundry", "greenhouse", "hallway", "kitchen", "living room")
ROOMS: Final = (*INDOORS, "outside", "workshop")
PAIR: Final = re.compile(r"^(?:move|use|pour|dunk|connect) (?P<first>.+?) (?:to|on|into) (?P<second>.+)$")


def text_view(view: View, task: str = "") -> str:
    """Return the simulator's own words; with the task, in the first state."""
    return f"{task}\n{view.outcome.text}" if task else view.outcome.text


def compact_view(view: View, task: str, action: str = "") -> str:
    """Return a state in about 50 to 150 words that say what is where: task, last action, room, ways out, inventory."""
    place, things, doors = _read_room(view.look)
    lines = [f"task {_short_task(task)}"]
    if action:
        lines.append(f"{action} : {_cut(_plain(view.outcome.text), LONGEST_ANSWER)}" if _is_news(view) else action)
    lines += [f"in {place}", *_within(things, LONGEST_VIEW)]
    lines.append(f"doors {', '.join(doors)}")
    lines.append(f"have {', '.join(map(_thing, _indented(view.inventory))) or 'nothing'}")
    return "\n".join(lines)


def compact_actions(actions: tuple[str, ...], task: str) -> tuple[str, ...]:
    """Return the listed actions that are useful for tasks.

    Kept are actions on one object that choose it or change something (`mix` where the task is about chemistry), and
    of those on two objects the ones in which the second is a thing named in the task, or the first is a tool named
    there. All of them, where the simulator asks back.
    """
    if all(action.isdecimal() for action in actions):
        return actions
    return tuple(action for action in actions if _is_kept(action, task))


def _is_kept(action: str, task: str) -> bool:
    pair = PAIR.match(action)
    if pair:
        named = pair["first"] if action.startswith("use") else pair["second"]
        return named in task and named not in ROOMS
    verbs = (*KEPT_VERBS, "mix") if "chemistry" in task else KEPT_VERBS
    return action == "look around" or (action.startswith(verbs) and not action.startswith("go to door"))


def _is_news(view: View) -> bool:
    """Return whether the answer says more than the room does."""
    return view.outcome.text != view.look and "In it, you see" not in view.outcome.text


def _short_task(task: str) -> str:
    return _plain(task.removeprefix("Your task is to "))


def _read_room(look: str) -> tuple[str, list[str], list[str]]:
    """Return the room's name, the things in it, and the rooms behind its doors."""
    head, _, ways = look.partition("You also see:")
    named = re.search(r"is called the ([^.]+)\.", head)
    things = [thing for thing in map(_thing, _indented(head)) if thing not in ("agent", "air")]
    doors: list[str] = re.findall(r"A door to the (.+?) \(", ways)
    return named[1] if named else "nowhere", things, doors


def _thing(line: str) -> str:
    return _cut(_plain(line), LONGEST_LINE)


def _plain(text: str) -> str:
    """Leave out articles and what goes without saying."""
    text = re.sub(r"\(containing nothing\)|substance called|which is|currently reading", " ", text)
    text = re.sub(r"\b(?:a|an|the|The|A|In|On) ", "", text.replace("a(n)", "").replace("(s)", ""))
    return " ".join(re.sub(r"[.,;:()]", " ", text).split()).lower()


def _indented(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.startswith("\t")]


def _cut(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _within(lines: list[str], words: int) -> list[str]:
    """Return the first of the lines, as many as fit."""
    kept: list[str] = []
    for line in lines:
        words -= len(line.split())
        if words < 0:
            break
        kept.append(line)
    return kept
