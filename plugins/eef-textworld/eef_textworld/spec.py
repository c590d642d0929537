"""The parameters that determine a game."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

Challenge = Literal["custom", "tw-simple", "tw-cooking", "tw-coin_collector", "tw-treasure_hunter"]
Goal = Literal["last", "steps"]
Theme = Literal["plain", "house", "basic"]

SPLITS: Final = ("train", "dev", "test")
SEEDS: Final = 1_000_000
"""Number of seeds that each split has for the first candidates of its games."""


@dataclass(frozen=True)
class GameSpec:
    """The parameters that, together with the version of TextWorld, determine a game.

    Attributes:
        challenge: `custom` for TextWorld's generator, or one of TextWorld's challenges.
        split: the split that the game's content must belong to.
        seed: the seed of the first candidate.
        rooms: number of rooms (`custom`).
        objects: number of objects, containers and supporters (`custom`).
        length: number of actions of the quest (`custom`).
        quests: number of independent quests (`custom`).
        level: difficulty of `tw-coin_collector` (1 to 300, up to 100 rooms) and `tw-treasure_hunter` (1 to 30).
        options: settings of `tw-simple` and `tw-cooking`, by TextWorld's names.
        goal: whether the objective names the last action only, or all actions.
        theme: source of names (not for `tw-simple` and `tw-cooking`, which have their own).
    """

    challenge: Challenge
    split: str
    seed: int
    rooms: int = 1
    objects: int = 1
    length: int = 1
    quests: int = 1
    level: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    goal: Goal = "last"
    theme: Theme = "plain"

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """Return the spec in a task's `info`, which may have other keys, too.

        Raises:
            TypeError: a key is missing.
        """
        return cls(**{name: info[name] for name in cls.__dataclass_fields__ if name in info})

    @property
    def info(self) -> dict[str, Any]:
        """The spec as plain data."""
        return asdict(self)
