"""TextWorld as an environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import Field, JsonValue, PrivateAttr

from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName
from eef_framework.interfaces import Environment
from eef_framework.records import Task, fingerprint
from eef_textworld.engine import Look
from eef_textworld.games import SEEDS, SPLITS, Challenge, GameSpec, Goal, Theme
from eef_textworld.host import Host
from eef_textworld.session import TextWorldSession
from eef_textworld.views import Mode, Part

RULES: Final = (
    "You are playing a text adventure. Answer with one command a turn. Commands look like these: go north, "
    "open chest, take lamp, take lamp from chest, put lamp on table, insert lamp into chest, drop lamp, "
    "unlock door with key, eat apple, examine note, look, inventory."
)


class TextWorld(Environment):
    """Text games made by TextWorld: games of a chosen size, or one of TextWorld's own challenges."""

    name: ClassVar[str] = "textworld"

    challenge: Challenge = "custom"
    """`custom` for games of TextWorld's generator, or `tw-simple`, `tw-cooking`, `tw-coin_collector`,
    `tw-treasure_hunter`."""
    rooms: int = Field(default=4, ge=1, le=40)
    """Number of rooms (`custom`)."""
    objects: int = Field(default=6, ge=0, le=60)
    """Number of objects, containers and supporters (`custom`); a quest adds those it needs."""
    shortest: int = Field(default=2, ge=1, le=20)
    """Length of the shortest quests, in actions (`custom`)."""
    longest: int = Field(default=5, ge=1, le=20)
    """Length of the longest quests; games take turns from the shortest to the longest (`custom`)."""
    quests: int = Field(default=1, ge=1, le=5)
    """Number of quests that don't depend on one another (`custom`)."""
    level: int = Field(default=1, ge=1, le=300)
    """Difficulty of `tw-coin_collector` (1 to 300, up to 100 rooms) and `tw-treasure_hunter` (1 to 30)."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Settings of `tw-simple` (`rewards`) and `tw-cooking` (`recipe`, `take`, `open`, `cook`, `cut`, `drop`, `go`),
    as TextWorld calls them."""
    goal: Goal = "last"
    """Content of the objective: only the `last` action, so that the rest has to be discovered, or all `steps`."""
    theme: Theme = "plain"
    """Where names come from: `plain` (a small vocabulary), `house` or `basic` (TextWorld's)."""
    mode: Mode = "compact"
    """How games read: `compact` for tiny models, `text` in sentences."""
    parts: tuple[Part, ...] = ("objective", "room", "inventory")
    """What every observation in `text` mode holds; the first one holds all."""
    max_steps: int = Field(default=20, ge=1)
    """Maximum episode length, in actions."""
    first_seed: int = Field(default=0, ge=0, lt=SEEDS // 2)
    """Seed of the first game of each split: another one gives other games."""
    train: int = Field(default=2000, ge=0, le=SEEDS // 2)
    """Number of games in the split `train`."""
    dev: int = Field(default=500, ge=0, le=SEEDS // 2)
    """Number of games in the split `dev`."""
    test: int = Field(default=1000, ge=0, le=SEEDS // 2)
    """Number of games in the split `test`."""
    kept: int = Field(default=2048, ge=1)
    """Number of games kept for the next episode of the same task (about 0.1 MB each)."""
    limit_s: float = Field(default=60.0, gt=0.0)
    """Time limit for creating a game or for a step, in seconds. When it expires, TextWorld's process is stopped and the
    episode fails."""

    _tasks: dict[str, list[Task]] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Refuse settings that contradict one another.

        Raises:
            ConfigError: the shortest quest is longer than the longest, or the level isn't one of the challenge.
        """
        if self.shortest > self.longest:
            raise ConfigError(
                f"the shortest quests have {self.shortest} actions, the longest {self.longest}",
                "Raise `longest`.",
                code="bad-range",
                shortest=self.shortest,
                longest=self.longest,
            )
        if self.challenge == "tw-treasure_hunter" and self.level > 30:
            raise ConfigError(
                f"tw-treasure_hunter has no level {self.level}",
                "Choose one from 1 to 30.",
                code="no-such-level",
                level=self.level,
            )

    def preflight(self) -> None:
        """Look for TextWorld, and for the library in C that it loads.

        Raises:
            ConfigError: one of them is missing, or TextWorld doesn't support this system.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "TextWorld doesn't support Windows", "Use the Windows Subsystem for Linux.", code="unsupported-system"
            )
        for package in ("textworld", "jericho"):
            found = find_spec(package)
            library = Path(found.origin or "").parent / "libfrotz.so" if found and package == "jericho" else None
            if found is None or (library and not library.is_file()):
                raise ConfigError(
                    f"TextWorld isn't complete: {str(library) if library else f'the package {package}'} is missing",
                    "pip install --force-reinstall --no-cache-dir textworld jericho",
                    code="textworld-missing",
                    package=package,
                    path=str(library) if library else None,
                )

    @cached_property
    def host(self) -> Host:
        """The process that the games run in."""
        return Host(Look(self.mode, tuple(self.parts)), self.kept, self.limit_s)

    @property
    def instructions(self) -> str:
        """The rules; empty in compact mode, where a model learns them from demonstrations."""
        return RULES if self.mode == "text" else ""

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split. Their games are made when they are opened.

        Raises:
            UnknownName: the split doesn't exist.
        """
        if split not in SPLITS:
            raise UnknownName.of("split of the environment 'textworld'", split, SPLITS)
        if split not in self._tasks:
            self._tasks[split] = [self._task(split, index) for index in range(getattr(self, split))]
        return self._tasks[split]

    def open(self, task: Task) -> TextWorldSession:
        """Start an episode.

        Raises:
            EnvironmentFailure: the task is another environment's, of another version of TextWorld, or has no game.
        """
        try:
            fits = task.environment == self.name and task.fingerprint == _fingerprint(GameSpec.of(task.info))
        except TypeError:
            fits = False
        if not fits:
            raise EnvironmentFailure(
                f"task {task.id!r} of environment {task.environment!r}, made with TextWorld "
                f"{task.info.get('textworld', '?')}, is not one of this environment's (TextWorld {_version()})",
                "Take tasks from `tasks(split)`, and keep the version of TextWorld throughout a run.",
                code="foreign-task",
                task=task.id,
            )
        return TextWorldSession(self, task)

    def close(self) -> None:
        """End the process that the games run in."""
        if "host" in self.__dict__:
            self.host.close()

    def _task(self, split: str, index: int) -> Task:
        length = self.shortest + index % (self.longest - self.shortest + 1)
        own = {"rooms": self.rooms, "objects": self.objects, "length": length, "quests": self.quests}
        spec = GameSpec(
            challenge=self.challenge,
            split=split,
            seed=SPLITS.index(split) * SEEDS + self.first_seed + index,
            options=self.options,
            goal=self.goal,
            theme=self.theme,
            **(own if self.challenge == "custom" else {"level": self.level}),
        )
        leveled = self.challenge in ("tw-coin_collector", "tw-treasure_hunter")
        kind = f"quest-{length}" if self.challenge == "custom" else self.challenge
        return Task(
            id=f"{self.challenge}-{split}-{spec.seed - SPLITS.index(split) * SEEDS}",
            environment=self.name,
            split=split,
            kind=f"{kind}-{self.level}" if leveled else kind,
            fingerprint=_fingerprint(spec),
            info={**spec.info, "textworld": _version()},
        )


def _fingerprint(spec: GameSpec) -> str:
    """Return a hash of what determines a game: its parameters and the version of what makes it."""
    return fingerprint(f"{sorted(spec.info.items())} TextWorld {_version()}")


def _version() -> str:
    try:
        return version("textworld")
    except PackageNotFoundError as error:
        raise EnvironmentFailure(
            "TextWorld is not installed", "pip install textworld", code="textworld-missing", package="textworld"
        ) from error
