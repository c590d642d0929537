"""Text of observations, generated from the facts of the game, so that it contains the whole visible state.

TextWorld's own texts need a compiled game and an interpreter, and TextWorld's wheel has no compiler.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from eef_textworld.game_state import GameState
from eef_textworld.messages import Part

DIRECTIONS: Final = ("north", "east", "south", "west")
CONDITIONS: Final = (
    *("open", "closed", "locked", "raw", "fried", "roasted", "grilled", "burned", "chopped", "sliced", "diced"),
)
"""Visible facts about an object."""
INVISIBLE_TYPES: Final = ("P", "I", "r", "d", "slot", "ingredient", "RECIPE")
"""Types of entities that aren't objects in a room."""
WITHOUT_EFFECT: Final = ("look", "inventory", "examine ")
"""Commands that change nothing. In compact mode they reveal nothing either, with the exceptions below."""
READING: Final = ("examine cookbook", "examine note")
"""Commands that reveal a text."""


@dataclass
class Scene:
    """What the player sees. Objects are pairs of a name and a condition such as `open` (empty if it has none).

    Attributes:
        room: name of the room.
        exits: by direction: whether the room there was visited, the name of the door (empty if there is none) and its
            condition.
        objects: the objects in the room.
        contents: the objects on each supporter and in each open container, by its name.
        inventory: the objects that the player carries.
    """

    room: str = ""
    exits: dict[str, tuple[bool, str, str]] = field(default_factory=dict)
    objects: list[tuple[str, str]] = field(default_factory=list)
    contents: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    inventory: list[tuple[str, str]] = field(default_factory=list)


def scene(state: GameState) -> Scene:
    """Return what the player sees."""
    facts = state.facts
    conditions: dict[str, set[str]] = defaultdict(set)
    place: dict[str, tuple[str, str]] = {}
    doors: dict[tuple[str, str], str] = {}
    for fact in facts:
        keys = [variable.name for variable in fact.arguments]
        if len(keys) == 1 and fact.name in CONDITIONS:
            conditions[keys[0]].add(fact.name)
        elif fact.name in ("at", "in", "on"):
            place[keys[0]] = (fact.name, keys[1])
        elif fact.name == "link":
            doors[keys[0], keys[2]] = keys[1]
    here = place["P"][1]

    def shown(key: str) -> tuple[str, str]:
        return state.name(key), " ".join(sorted(conditions[key], key=CONDITIONS.index))

    def inside(key: str) -> list[tuple[str, str]]:
        types = state.game.infos
        return sorted(shown(k) for k, (_, at) in place.items() if at == key and types[k].type not in INVISIBLE_TYPES)

    seen = Scene(room=state.name(here), objects=inside(here), inventory=inside("I"))
    for fact in facts:
        direction = fact.name.removesuffix("_of")
        if direction in DIRECTIONS and fact.arguments[1].name == here:
            there = fact.arguments[0].name
            door = shown(doors[here, there]) if (here, there) in doors else ("", "")
            seen.exits[direction] = (there in state.visited, *door)
    for key, (_, at) in place.items():
        if at == here and not {"closed", "locked"} & conditions[key] and key != "P" and (within := inside(key)):
            seen.contents[state.name(key)] = within
    return seen


def compact(state: GameState, goal: str) -> tuple[str, tuple[str, ...]]:
    """Return a text of about forty words, and the commands that have an effect.

    Args:
        state: the state of the game.
        goal: the objective as commands.
    """
    see = scene(state)
    lines = [f"goal {goal}", f"room {see.room}"]
    for direction in DIRECTIONS:
        if direction in see.exits:
            visited, door, condition = see.exits[direction]
            lines.append(" ".join(filter(None, (direction, "seen" if visited else "new", door, condition))))
    floor = []
    for name, condition in see.objects:
        if name in see.contents or condition in ("open", "closed", "locked"):
            lines.append(" ".join(filter(None, (name, condition, _with_colon(_listed(see.contents.get(name, ())))))))
        else:
            floor.append((name, condition))
    lines += [f"here {_listed(floor)}"] if floor else []
    lines += [f"have {_listed(see.inventory)}"] if see.inventory else []
    lines += [f"read {_words(state.last_read)}"] if state.last_read else []
    lines += ["won"] if state.won else ["lost"] if state.lost else []
    return "\n".join(lines), tuple(c for c in state.commands if not c.startswith(WITHOUT_EFFECT) or c in READING)


def text(state: GameState, objective: str, feedback: str, parts: tuple[Part, ...]) -> tuple[str, tuple[str, ...]]:
    """Return a text in sentences, and all admissible commands.

    Args:
        state: the state of the game.
        objective: the objective of the game.
        feedback: the answer to the last command; empty at the start.
        parts: further contents of every observation; the first one contains all parts.
    """
    see = scene(state)
    shown = parts if feedback else ("objective", "room", "inventory")
    blocks = [feedback] if feedback else []
    if "objective" in shown:
        blocks.append(objective)
    if "room" in shown:
        blocks.append(" ".join((f"-= {see.room.title()} =-\nYou are in the {see.room}.", *_sentences(see))))
    if "inventory" in shown:
        blocks.append(f"You are carrying: {_listed(see.inventory, ', ')}." if see.inventory else "You carry nothing.")
    if state.over:
        blocks.append("*** The game is won. ***" if state.won else "*** The game is lost. ***")
    return "\n\n".join(filter(None, blocks)), state.commands


def description(state: GameState, name: str) -> str:
    """Return the description of an object, without the parts that only an interpreter can fill in."""
    found = next((info.desc for info in state.game.infos.values() if info.name == name and info.desc), "")
    return re.sub(r"\[[^\]]*\].*?\[end if\]|\[[^\]]*\]", "", str(found), flags=re.DOTALL).strip()


def _sentences(see: Scene) -> Iterator[str]:
    for name, condition in see.objects:
        within = f" It holds: {_listed(see.contents[name], ', ')}." if name in see.contents else ""
        yield f"You see {_article(name)}{f' ({condition})' if condition else ''}.{within}"
    for direction in DIRECTIONS:
        if direction in see.exits:
            _, door, condition = see.exits[direction]
            yield f"There is an exit to the {direction}{f', through {_article(door)} ({condition})' if door else ''}."


def _listed(objects: list[tuple[str, str]] | tuple[()], comma: str = " , ") -> str:
    return comma.join(f"{name} {condition}".strip() for name, condition in objects)


def _with_colon(words: str) -> str:
    return f": {words}" if words else ""


def _words(sentence: str) -> str:
    """Return the words of a text in lower case; of a recipe, only the directions."""
    _, found, directions = sentence.partition("Directions:")
    return " ".join(re.findall(r"[\w'-]+", (directions if found else sentence).lower()))


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
