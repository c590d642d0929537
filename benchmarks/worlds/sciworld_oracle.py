"""The oracle for ScienceWorld."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from oracle import Oracle
from pydantic import PrivateAttr

from eef_framework import Session, Task, Trajectory

DOORS = {
    "hallway": ("art studio", "bedroom", "greenhouse", "kitchen", "living room", "workshop"),
    "kitchen": ("bathroom", "hallway", "outside"),
    "outside": ("foundry", "greenhouse", "kitchen"),
    "greenhouse": ("hallway", "outside"),
    "art studio": ("hallway",),
    "bathroom": ("kitchen",),
    "bedroom": ("hallway",),
    "foundry": ("outside",),
    "living room": ("hallway",),
    "workshop": ("hallway",),
}
"""Room -> rooms that its doors lead to: the house is the same in all tasks."""
PLACE = re.compile(r"^in (.+)$", re.MULTILINE)
"""The room, in a compact view."""


class SciWorldOracle(Oracle):
    """Walks to where the solution has an action, and continues with the solution from there.

    So a detour through other rooms has distances of its own. Doors must be open (`simplification: easy`), and views
    compact. ScienceWorld has solutions besides the one that its solver gives, and others after a mistake: where no way
    was found, there may be one. So nothing is said of the actions before such a state, unless the episode ended there
    without success.
    """

    name: ClassVar[str] = ""

    _rooms: dict[str, list[str]] = PrivateAttr(default_factory=dict)

    def is_lost(self, trajectory: Trajectory) -> bool:
        """Return whether the task itself ended, without success."""
        return bool(trajectory.steps) and trajectory.steps[-1].terminated

    def ways(self, session: Session) -> Sequence[Sequence[str]]:
        """Return the ends of the solution, each after the walk to where it begins."""
        gold, here = self.solution(session.task), _room(session)
        rooms = self._rooms_of(session.task)
        walks = [walk(here, room) for room in rooms]
        found = [(*map("go to {}".format, way), *gold[k:]) for k, way in enumerate(walks) if way is not None]
        return sorted(found, key=len)

    def _rooms_of(self, task: Task) -> list[str]:
        """Return the room in which each action of the solution is taken."""
        if task.id not in self._rooms:
            rooms = []
            with self._environment.open(task) as session:
                for action in self.solution(task):
                    rooms.append(_room(session))
                    session.step(action)
            self._rooms[task.id] = rooms
        return self._rooms[task.id]


def walk(start: str, end: str) -> Sequence[str] | None:
    """Return the rooms to go to, in order, on a shortest way from one room to another; None if there is none."""
    ways: dict[str, tuple[str, ...]] = {start: ()}
    queue = [start]
    for room in queue:
        for other in DOORS.get(room, ()):
            if other not in ways:
                ways[other] = (*ways[room], other)
                queue.append(other)
    return ways.get(end)


def _room(session: Session) -> str:
    found = PLACE.search(session.observation.text)
    if found is None:
        raise ValueError(f"no room in this view; set the environment's mode to compact: {session.observation.text!r}")
    return found[1]
