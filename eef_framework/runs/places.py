"""Locates files: the run that contains them, and their settings."""

from __future__ import annotations

import json
import os
from contextvars import ContextVar
from pathlib import Path

from eef_framework.runs.file_names import RUN_CONFIG, RUN_MANIFEST, STAGE_MANIFEST

ANSWERS_FOLDER: ContextVar[Path | None] = ContextVar("eef_answers_folder", default=None)
"""Folder in which policies keep the answers of servers, for the phase that is running; None outside of phases."""


def run_of(path: Path) -> Path | None:
    """Return the run directory that contains a file or folder; None if there is none."""
    folder = Path(os.path.realpath(path))
    return next((above for above in folder.parents if is_run(above)), None)


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run directory, rather than a folder with an unrelated `run.json`."""
    try:
        manifest = json.loads((folder / RUN_MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and "config_digest" in manifest


def was_run(folder: Path) -> bool:
    """Return whether a folder is a run directory, also if its manifest is missing or damaged."""
    return is_run(folder) or ((folder / RUN_CONFIG).is_file() and any(folder.glob(f"*/{STAGE_MANIFEST}")))


def settings_file(path: Path) -> Path:
    """Return the path of the settings of a file's rows."""
    return path.with_name(f"{path.name}.settings.yaml")
