"""Record of a training outside run directories: its folder is continued only with what the model is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eef_framework.errors import CorruptFile, RunConflict, storage
from eef_framework.records import TrainResult
from eef_framework.runs.file_names import INTERRUPTED, PREPARATION, REQUEST, TRAINING_LOG, TRAINING_SETTINGS
from eef_framework.runs.settings_files import Leeway, differences, listed, read_settings_file, write_settings_file

HEADER = (
    "# Written by eef-framework: what the model in this folder is trained with, and the result once it is finished.\n"
)
RESULT = "result"
_REPLACEABLE = {TRAINING_LOG, PREPARATION, TRAINING_SETTINGS, REQUEST}


class TrainingRecord:
    """Settings and inputs of a training, in the folder of its checkpoint, with its result once it is finished.

    Args:
        folder: the folder.
        settings: plain data; everything that the result depends on.
        leeway: how the recorded settings may differ from these.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], leeway: Leeway | None = None) -> None:
        self.path = folder / TRAINING_SETTINGS
        self._folder = folder
        self._settings = settings
        self._leeway = leeway

    def begin(self) -> TrainResult | None:
        """Record the settings before a training, unless it was finished before.

        A training that left neither weights nor a saved state is replaced, as one that failed at its start.

        Returns:
            The result of the finished training; None if it has to be started or resumed.

        Raises:
            RunConflict: the folder has a model, or a saved state, of a training with other settings (`other-settings`;
                says which), or a model without a record, such as one of an earlier version (`not-recorded`).
            CorruptFile: the record can't be parsed (`corrupt-settings`).
        """
        if self.path.exists():
            written = read_settings_file(self.path)
            result = written.pop(RESULT, None)
            changes = list(differences(written, self._settings, self._leeway))
            if changes and self._content():
                raise RunConflict(
                    f"{str(self._folder)!r} contains a model, or the state of an interrupted training, that was made "
                    f"with other settings:{listed(changes)}",
                    "Choose another --out, undo these changes, or delete the folder to train again.",
                    code="other-settings",
                    path=str(self._folder),
                    changes=changes,
                )
            if result is not None and self._content():  # the model may have been deleted, and not the record
                return self._parsed(result)
        elif (found := self._content()) and found != [INTERRUPTED]:
            raise RunConflict(
                f"{str(self._folder)!r} contains a model, and no record of what it was trained with: it holds "
                f"{', '.join(found[:5])}",
                "Choose another --out, or delete the folder to train again.",
                code="not-recorded",
                path=str(self._folder),
                found=found,
            )
        write_settings_file(self.path, self._settings, HEADER)
        return None

    def finish(self, result: TrainResult) -> None:
        """Record that the training is finished. Of the losses, only the last is kept: all are in the training's log."""
        kept = result.changed(checkpoint=None, losses=result.losses[-1:])
        write_settings_file(self.path, {**self._settings, RESULT: kept.model_dump(mode="json")}, HEADER)

    def _content(self) -> list[str]:
        """Return the names of what a new training would replace and can't be made again at once."""
        with storage(self._folder, "looking into"):
            names = sorted(entry.name for entry in self._folder.iterdir())
        return [name for name in names if name not in _REPLACEABLE and not name.startswith(".")]

    def _parsed(self, result: object) -> TrainResult:
        try:
            return TrainResult.model_validate(result)
        except ValidationError as cause:
            raise CorruptFile(
                f"{self.path} can't be parsed: {RESULT} is {result!r:.60}, expected the result of a training",
                "Restore the file, or delete the folder to train again.",
                code="corrupt-settings",
                path=str(self.path),
            ) from cause


def check_untrained(folder: Path) -> None:
    """Check that no training is recorded in a folder to which another model is to be written.

    Raises:
        RunConflict: there is one (`other-settings`).
    """
    if (folder / TRAINING_SETTINGS).exists():
        raise RunConflict(
            f"{str(folder)!r} is the folder of a training: it has {TRAINING_SETTINGS}",
            "Choose another --out, or delete the folder.",
            code="other-settings",
            path=str(folder),
        )
