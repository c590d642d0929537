"""The tasks of each split.

`package` is ScienceWorld's own division of every task type's variations: the first half `train`, a quarter `dev`, a
quarter `test`. `eto` is the division used in published comparisons (ETO, arXiv 2403.02502, and EEF, arXiv 2504.13145):
24 task types, at most 120 training variations and the first ten test variations of each, and step limits by task type.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Final, Literal

from eef_framework.errors import UnknownName
from eef_sciworld._compat.scienceworld import current_task_name

Protocol = Literal["package", "eto"]
SPLITS: Final = ("train", "dev", "test")
PACKAGE_STEPS: Final = 100
"""ScienceWorld's own limit (`envStepLimit`)."""
ETO_TESTS: Final = 10
"""Maximum number of test variations of a task type in the published lists."""

VARIATIONS: Final = {
    "boil": 30,
    "change-the-state-of-matter-of": 30,
    "chemistry-mix": 32,
    "chemistry-mix-paint-secondary-color": 36,
    "chemistry-mix-paint-tertiary-color": 36,
    "find-animal": 300,
    "find-living-thing": 300,
    "find-non-living-thing": 300,
    "find-plant": 300,
    "freeze": 30,
    "grow-fruit": 126,
    "grow-plant": 126,
    "identify-life-stages-1": 14,
    "identify-life-stages-2": 10,
    "inclined-plane-determine-angle": 168,
    "inclined-plane-friction-named-surfaces": 1386,
    "inclined-plane-friction-unnamed-surfaces": 162,
    "lifespan-longest-lived": 125,
    "lifespan-longest-lived-then-shortest-lived": 125,
    "lifespan-shortest-lived": 125,
    "measure-melting-point-known-substance": 436,
    "measure-melting-point-unknown-substance": 300,
    "melt": 30,
    "mendelian-genetics-known-plant": 120,
    "mendelian-genetics-unknown-plant": 480,
    "power-component": 20,
    "power-component-renewable-vs-nonrenewable-energy": 20,
    "test-conductivity": 900,
    "test-conductivity-of-unknown-substances": 600,
    "use-thermometer": 540,
}
"""Task types, and the number of variations of each in ScienceWorld 1.2.3 (arXiv 2203.07540)."""


def task_name(name: str) -> str:
    """Return the current name of a task type, given its current or a former name, such as `task-3-find-plant`.

    Raises:
        UnknownName: the task type doesn't exist.
    """
    found = current_task_name(name)
    if found not in VARIATIONS:
        raise UnknownName.of("task type", name, VARIATIONS, where="in ScienceWorld")
    return found


def variations(protocol: Protocol, split: str, task: str) -> tuple[int, ...]:
    """Return the variations of a task type that are in a split, in ascending order.

    Raises:
        UnknownName: the split doesn't exist.
    """
    if split not in SPLITS:
        raise UnknownName.of("split", split, SPLITS, where="in environment 'sciworld'")
    if protocol == "package":
        return tuple(_package(split, VARIATIONS[task]))
    if task not in _eto()["max_steps"]:
        return ()
    if split == "test":
        return tuple(_package(split, VARIATIONS[task]))[:ETO_TESTS]
    # The published lists train on 54 of their own dev tasks. Here they are dev tasks only.
    dev = _numbers(_eto()["dev"][task])
    return dev if split == "dev" else tuple(sorted(set(_numbers(_eto()["train"][task])) - set(dev)))


def step_limit(protocol: Protocol, task: str) -> int:
    """Return the maximum episode length of a task type, in actions."""
    return int(_eto()["max_steps"].get(task, PACKAGE_STEPS)) if protocol == "eto" else PACKAGE_STEPS


def _package(split: str, count: int) -> range:
    """Divide as the simulator's `getSets` does: into quarters, rounded down; `test` includes the remainder."""
    quarter = count // 4
    first, end = {"train": (0, 2 * quarter), "dev": (2 * quarter, 3 * quarter), "test": (3 * quarter, count)}[split]
    return range(first, end)


def _numbers(ranges: str) -> tuple[int, ...]:
    """Parse `0-2,5` as 0, 1, 2, 5."""
    ends = (part.split("-") for part in ranges.split(","))
    return tuple(number for end in ends for number in range(int(end[0]), int(end[-1]) + 1))


@cache
def _eto() -> dict[str, dict[str, str]]:
    text = resources.files("eef_sciworld").joinpath("eto.json").read_text("utf-8")
    lists: dict[str, dict[str, str]] = json.loads(text)
    return lists
