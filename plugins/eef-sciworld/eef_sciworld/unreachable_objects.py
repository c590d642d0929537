"""Finds objects that the simulator lists in actions although no action can name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eef_sciworld._compat.scienceworld import SEWER


def unreachable_objects(tree: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of objects that are in a closed container, on an animal or in the sewer.

    Args:
        tree: the whole world, in ScienceWorld's format: an object with its contents.
    """
    return frozenset(_unreachable(tree, False))


def _unreachable(thing: Mapping[str, Any], inside: bool) -> Iterator[str]:
    if inside or thing["name"] == SEWER:
        yield str(thing["uuid"])
    inside = inside or _is_closed(thing)
    for part in (thing.get("contents") or {}).values():
        yield from _unreachable(part, inside)


def _is_closed(thing: Mapping[str, Any]) -> bool:
    container = thing.get("propContainer")
    if container:
        return not container["isOpen"]
    return bool(thing.get("propLife"))  # bees, which carry pollen; plants are containers
