"""Saves and resumes the state of a training."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from eef_framework.models.saving import writing
from eef_framework.records import Checkpoint, fingerprint
from eef_framework.runs.atomic import write_json, write_text
from eef_framework.training.settings import FineTuning


def training_key(settings: FineTuning, examples: Sequence[tuple[Any, ...]], start: Checkpoint, seed: int) -> str:
    """Return the identity of a training: everything that its result depends on."""
    files = sorted(start.path.glob("*")) if start.path.is_dir() else []
    weights = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    contents = [tuple(example) for example in examples]
    return fingerprint(repr((settings.settings(), contents, str(start.path), weights, seed)))


def losses_before(log: Path, step: int) -> list[float]:
    """Return the losses of a training's completed steps, from its log."""
    return [float(json.loads(row)["loss"]) for row in _rows(log, step)]


def continued(log: Path, step: int) -> TextIO:
    """Open a training's log for the rows after a number of completed steps.

    It is shortened atomically, and then written a line at a time, so that a kill at any moment loses no row.
    """
    write_text(log, "".join(_rows(log, step)))
    return log.open("a", encoding="utf-8", buffering=1)


def _rows(log: Path, step: int) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines(keepends=True)[:step] if step else []


class SavedState(NamedTuple):
    """A training's state on disk."""

    folder: Path
    step: int
    """Number of completed steps."""


class SavePoint:
    """A folder with states of a training, the latest of which counts.

    Args:
        folder: the folder.
        key: identity of the training.
        every_s: interval in seconds; None for never.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path, key: str, every_s: float | None) -> None:
        self.folder = folder
        self._key = key
        self._every_s = every_s
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the interval is over since the last state was saved."""
        return self._every_s is not None and time.monotonic() - self._saved >= self._every_s

    def latest(self) -> SavedState | None:
        """Return the training's latest state; None if it has to start from the beginning."""
        marks = [path for path in self._own() if path.suffix == ".json"]
        for mark in sorted(marks, key=lambda path: int(path.stem), reverse=True):
            state = json.loads(mark.read_text(encoding="utf-8"))
            if state["key"] == self._key:
                return SavedState(mark.with_suffix(""), state["step"])
        return None

    def write(self, step: int, save: Callable[[Path], object], main: bool = True) -> None:
        """Save a training's state. After an interruption, either this state or the previous one exists.

        Args:
            step: number of completed steps.
            save: writes the state to a folder.
            main: whether this process is the only one, or the first of several that write the state together.
        """
        state = self.folder / str(step)
        try:
            with writing(state):
                save(state)
        except BaseException:
            if main:
                shutil.rmtree(state, ignore_errors=True)  # an incomplete state only takes space
            raise
        if main:
            write_json(state.with_suffix(".json"), {"key": self._key, "step": step})
            self._delete(path for path in self._own() if path.stem != state.name)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Delete all states: the training is complete."""
        self._delete(self._own())
        with suppress(OSError):  # somebody else's file is in it, or no state was ever saved
            self.folder.rmdir()

    def _own(self) -> list[Path]:
        """Return the folders of states and their marks; nothing else in the folder is ours."""
        return [path for path in self.folder.glob("*") if path.stem.isdecimal()]

    @staticmethod
    def _delete(paths: Iterable[Path]) -> None:
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
