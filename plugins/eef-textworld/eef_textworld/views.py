"""How a game in progress reads: made from TextWorld's facts, so that the visible part of the state is in every text.

TextWorld's own texts come from a compiled game and its interpreter; the wheel of TextWorld holds no compiler.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from eef_textworld.play import Play

Mode = Literal["compact", "text"]
Part = Literal["objective", "room", "inventory"]

DIRECTIONS: Final = ("north", "east", "south", "west")
STATES: Final = (
    *("open", "closed", "locked", "raw", "fried", "roasted", "grilled", "burned", "chopped", "sliced", "diced"),
)
"""Facts about a thing that can be seen."""
HIDDEN_TYPES: Final = ("P", "I", "r", "d", "slot", "ingredient", "RECIPE")
IDLE: Final = ("look", "inventory", "examine ")
"""Commands that change nothing; in compact mode they tell nothing either, but for what can be read."""
READABLE: Final = ("examine cookbook", "examine note")


@dataclass
class Scene:
    """What the player sees.

    Attributes:
        room: name of the room.
        exits: for every direction with an exit: whether the room there was visited, the door's name or "", its state.
        things: names of things standing or lying in the room, with their states.
        content: what is on a supporter, or in an open container.
        inventory: what the player carries.
    """

    room: str = ""
    exits: dict[str, tuple[bool, str, str]] = field(default_factory=dict)
    things: list[tuple[str, str]] = field(default_factory=list)
    content: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    inventory: list[tuple[str, str]] = field(default_factory=list)


def scene(play: Play) -> Scene:
    """Return what the player sees."""
    facts = play.facts
    states: dict[str, set[str]] = defaultdict(set)
    place: dict[str, tuple[str, str]] = {}
    doors: dict[tuple[str, str], str] = {}
    for fact in facts:
        keys = [variable.name for variable in fact.arguments]
        if len(keys) == 1 and fact.name in STATES:
            states[keys[0]].add(fact.name)
        elif fact.name in ("at", "in", "on"):
            place[keys[0]] = (fact.name, keys[1])
        elif fact.name == "link":
            doors[keys[0], keys[2]] = keys[1]
    here = place["P"][1]

    def shown(key: str) -> tuple[str, str]:
        return play.name(key), " ".join(sorted(states[key], key=STATES.index))

    def inside(key: str) -> list[tuple[str, str]]:
        types = play.game.infos
        return sorted(shown(k) for k, (_, at) in place.items() if at == key and types[k].type not in HIDDEN_TYPES)

    seen = Scene(room=play.name(here), things=inside(here), inventory=inside("I"))
    for fact in facts:
        direction = fact.name.removesuffix("_of")
        if direction in DIRECTIONS and fact.arguments[1].name == here:
            there = fact.arguments[0].name
            door = shown(doors[here, there]) if (here, there) in doors else ("", "")
            seen.exits[direction] = (there in play.visited, *door)
    for key, (_, at) in place.items():
        if at == here and not {"closed", "locked"} & states[key] and key != "P" and (within := inside(key)):
            seen.content[play.name(key)] = within
    return seen


def compact(play: Play, goal: str) -> tuple[str, tuple[str, ...]]:
    """Return a text of some forty words, one line a thing, and the commands that do something."""
    see = scene(play)
    lines = [f"goal {goal}", f"room {see.room}"]
    for direction in DIRECTIONS:
        if direction in see.exits:
            visited, door, state = see.exits[direction]
            lines.append(" ".join(filter(None, (direction, "seen" if visited else "new", door, state))))
    floor = []
    for name, state in see.things:
        if name in see.content or state in ("open", "closed", "locked"):
            lines.append(" ".join(filter(None, (name, state, _with_colon(_listed(see.content.get(name, ())))))))
        else:
            floor.append((name, state))
    lines += [f"here {_listed(floor)}"] if floor else []
    lines += [f"have {_listed(see.inventory)}"] if see.inventory else []
    lines += [f"read {_words(play.read)}"] if play.read else []
    lines += ["won"] if play.won else ["lost"] if play.lost else []
    return "\n".join(lines), tuple(c for c in play.commands if not c.startswith(IDLE) or c in READABLE)


def text(play: Play, objective: str, feedback: str, parts: tuple[Part, ...]) -> tuple[str, tuple[str, ...]]:
    """Return a text in sentences, and all admissible commands.

    Args:
        play: the game in progress.
        objective: what is to be done.
        feedback: what came of the last command.
        parts: what every observation holds besides; the first one (without feedback) holds all.
    """
    see = scene(play)
    shown = parts if feedback else ("objective", "room", "inventory")
    blocks = [feedback] if feedback else []
    if "objective" in shown:
        blocks.append(objective)
    if "room" in shown:
        blocks.append(" ".join((f"-= {see.room.title()} =-\nYou are in the {see.room}.", *_sentences(see))))
    if "inventory" in shown:
        blocks.append(f"You are carrying: {_listed(see.inventory, ', ')}." if see.inventory else "You carry nothing.")
    if play.over:
        blocks.append("*** The game is won. ***" if play.won else "*** The game is lost. ***")
    return "\n\n".join(filter(None, blocks)), play.commands


def description(play: Play, name: str) -> str:
    """Return a thing's description, without the parts that only an interpreter can fill in."""
    found = next((info.desc for info in play.game.infos.values() if info.name == name and info.desc), "")
    return re.sub(r"\[[^\]]*\].*?\[end if\]|\[[^\]]*\]", "", str(found), flags=re.DOTALL).strip()


def _sentences(see: Scene) -> Iterator[str]:
    for name, state in see.things:
        within = f" It holds: {_listed(see.content[name], ', ')}." if name in see.content else ""
        yield f"You see {_article(name)}{f' ({state})' if state else ''}.{within}"
    for direction in DIRECTIONS:
        if direction in see.exits:
            _, door, state = see.exits[direction]
            yield f"There is an exit to the {direction}{f', through {_article(door)} ({state})' if door else ''}."


def _listed(things: list[tuple[str, str]] | tuple[()], comma: str = " , ") -> str:
    return comma.join(f"{name} {state}".strip() for name, state in things)


def _with_colon(words: str) -> str:
    return f": {words}" if words else ""


def _words(sentence: str) -> str:
    """Return only the instructions of a recipe, or all words of something else."""
    _, found, directions = sentence.partition("Directions:")
    return " ".join(re.findall(r"[\w'-]+", (directions if found else sentence).lower()))


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
