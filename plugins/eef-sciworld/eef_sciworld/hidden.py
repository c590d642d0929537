"""What the simulator lists in actions although no action can name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SEWER = "sewer"
"""Listed wherever there is a drain, and nowhere understood."""


def hidden_objects(tree: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of objects that are in something closed, on an animal or in the sewer.

    Args:
        tree: an object and what is in it, as ScienceWorld describes objects: of the whole world.
    """
    return frozenset(_hidden(tree, False))


def _hidden(thing: Mapping[str, Any], inside: bool) -> Iterator[str]:
    if inside or thing["name"] == SEWER:
        yield str(thing["uuid"])
    inside = inside or _conceals(thing)
    for part in (thing.get("contents") or {}).values():
        yield from _hidden(part, inside)


def _conceals(thing: Mapping[str, Any]) -> bool:
    container = thing.get("propContainer")
    if container:
        return not container["isOpen"]
    return bool(thing.get("propLife"))  # bees, which have pollen on them; plants are containers
