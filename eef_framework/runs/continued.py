"""Files of rows outside run directories: continued only with the settings that their rows were made with.

A run directory records its configuration. A file that a single phase writes has its record beside it, in a file of the
same name that ends in `.settings.yaml`. Without it, another model's episodes would be taken for this one's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from eef_framework.errors import CorruptFile, RunConflict, storage
from eef_framework.records import Record
from eef_framework.runs.atomic import write_text
from eef_framework.runs.directory import differences
from eef_framework.runs.rows import RowFile

R = TypeVar("R", bound=Record)


def continued(path: Path, record: type[R], settings: Mapping[str, Any]) -> RowFile[R]:
    """Open a file of rows to go on with it.

    Args:
        path: the file; created if absent.
        record: what its lines are.
        settings: plain data; all that the rows depend on. A file that came without its settings is taken to have
            been made with these.

    Raises:
        RunConflict: it has rows that were made with other settings; says which.
        CorruptFile: its rows or its settings don't read.
        StorageError: they can't be read or written.
    """
    beside = settings_file(path)
    rows = RowFile(path, record)
    try:
        if rows.rows and beside.exists():
            _check(path, beside, settings)
        write_text(beside, yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))
    except BaseException:
        rows.close()
        raise
    return rows


def settings_file(path: Path) -> Path:
    """Return where the settings of a file's rows are written."""
    return path.with_suffix(".settings.yaml")


def named(path: Path | None) -> str | None:
    """Name a file, or a folder's own files, so that it can be told from another and from what it was before.

    Returns:
        The last part of its path, with a digest of its content; of a path where nothing is, such as a model's name on
        a hub, the path as it is; None for None.
    """
    if path is None or not path.exists():
        return None if path is None else str(path)
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
    found = hashlib.blake2b(digest_size=8)
    for file in files:
        with storage(file, "reading"), file.open("rb") as content:
            found.update(file.name.encode() + b"\0" + hashlib.file_digest(content, "blake2b").digest())
    return f"{path.name} ({found.hexdigest()})"


def _check(path: Path, beside: Path, settings: Mapping[str, Any]) -> None:
    try:
        with storage(beside, "reading"):
            known = yaml.safe_load(beside.read_text(encoding="utf-8"))
        if not isinstance(known, dict):
            raise ValueError(f"it holds {known!r}, and no settings")
    except (ValueError, yaml.YAMLError) as cause:
        raise CorruptFile(
            f"{beside} doesn't read: {cause}", f"It says what {path.name} was made with: restore it, or remove it."
        ) from cause
    changes = list(differences(known, settings))
    if changes:
        listed = "".join(f"\n    {change}" for change in changes[:12])
        raise RunConflict(
            f"{str(path)!r} holds episodes that were made with other settings:{listed}",
            "Choose another --out, undo these changes, or delete the file to start afresh.",
        )
