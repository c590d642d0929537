"""Where files lie: in which run, and beside which settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

MANIFEST = "run.json"
"""What makes a folder a run directory."""
LOCK = ".lock"
"""Held by the process that writes to a run."""


def run_of(path: Path) -> Path | None:
    """Return the run directory that a file or folder lies in, None if it lies in none."""
    folder = Path(os.path.realpath(path))
    return next((above for above in folder.parents if is_run(above)), None)


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run directory, rather than one with a `run.json` of somebody else's."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and "config_digest" in manifest


def settings_file(path: Path) -> Path:
    """Return where the settings of a file's rows are written."""
    return path.with_name(f"{path.name}.settings.yaml")
