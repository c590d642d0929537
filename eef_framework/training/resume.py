"""Saves and resumes the state of a training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from eef_framework.models.saving import writing
from eef_framework.records import Checkpoint, fingerprint
from eef_framework.runs.atomic import write_json
from eef_framework.training.collate import TokenizedExample
from eef_framework.training.loop import Training
from eef_framework.training.settings import SupervisedSettings


def training_key(
    settings: SupervisedSettings, examples: Sequence[TokenizedExample], start: Checkpoint, seed: int
) -> str:
    """Return the identity of a training: everything that its result depends on."""
    files = sorted(start.path.glob("*")) if start.path.is_dir() else []
    weights = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    contents = [tuple(example) for example in examples]
    return fingerprint(repr((settings.settings(), contents, str(start.path), weights, seed)))


class SavePoint:
    """A folder with states of a training, the latest of which counts.

    Args:
        folder: the folder.
        key: identity of the training.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def restore(self, training: Training) -> None:
        """Resume a training after its latest state, if there is one."""
        for mark in sorted(self._folder.glob("*.json"), key=lambda path: int(path.stem), reverse=True):
            state = json.loads(mark.read_text(encoding="utf-8"))
            if state["key"] == self._key:
                return training.load_state(mark.with_suffix(""), state["step"], state["tokens"])

    def write(self, training: Training) -> None:
        """Save a training's state. After an interruption, either this state or the previous one exists."""
        state = self._folder / str(training.step)
        try:
            with writing(state):
                training.save_state(state)
        except BaseException:
            if training.is_main_process:
                shutil.rmtree(state, ignore_errors=True)  # an incomplete state only takes space
            raise
        if training.is_main_process:
            mark = {"key": self._key, "step": training.step, "tokens": training.tokens}
            write_json(state.with_suffix(".json"), mark)
            for old in self._folder.iterdir():
                if old.name not in (state.name, f"{state.name}.json"):
                    shutil.rmtree(old) if old.is_dir() else old.unlink()

    def remove(self) -> None:
        """Delete all states: the training is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)
