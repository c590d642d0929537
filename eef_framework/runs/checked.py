"""Files of rows outside run directories: continued only with the settings that their rows were made with.

A run directory records its configuration. For a file written by a single phase, the settings are in a file next to it,
with the same name plus `.settings.yaml`. Without it, another model's episodes could be mistaken for this one's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from eef_framework.errors import CorruptFile, RunConflict, StorageError, storage
from eef_framework.paths import expand
from eef_framework.records.base import VersionedRecord
from eef_framework.runs.file_names import TRAINING_SETTINGS
from eef_framework.runs.jsonl import JsonlFile, check_not_input
from eef_framework.runs.places import settings_file
from eef_framework.runs.settings_files import Leeway, differences, listed, read_settings_file, write_settings_file

R = TypeVar("R", bound=VersionedRecord)

HEADER = "# Written by eef-framework: the settings that the rows of the file next to it were made with.\n"
HEADER_START = b"# Written by eef-framework: "
_FORMER = {"seed", "environment"}
"""Keys that identify settings written by an earlier version, without the header."""


def open_checked(
    path: Path,
    record: type[R],
    settings: Mapping[str, Any],
    *inputs: Path | None,
    leeway: Leeway | None = None,
) -> JsonlFile[R]:
    """Open a file of rows to continue it.

    Args:
        path: the file; created if absent.
        record: type of its lines.
        settings: plain data; everything that the rows depend on. A file without settings is assumed to have been made
            with these.
        inputs: files that are read at the same time, in addition to those named in the settings.
        leeway: how the recorded settings may differ from these.

    Raises:
        RunConflict: it has rows that were made with other settings (`other-settings`; says which), or another process
            writes to it.
        ConfigError: it is one of the inputs.
        CorruptFile: its rows or its settings can't be parsed, or aren't ours.
        StorageError: they can't be read or written.
    """
    check_not_input(path, *inputs, *_files_in(settings))
    settings_path = settings_file(path)
    written = _written(path, settings_path)  # before anything is locked or created
    rows = JsonlFile(path, record)
    try:
        if rows.rows and written is not None:
            _check(path, list(differences(written, settings, leeway)))
        if written != settings:
            record_settings = functools.partial(write_settings_file, settings_path, settings, HEADER)
            if rows.rows:
                record_settings()
            else:  # a phase that fails before its first row leaves nothing
                rows.before_first_row = record_settings
    except BaseException:
        rows.close()
        raise
    return rows


def content_id(path: Path | None) -> str | None:
    """Return an identifier for the content of a file, or of a folder's files.

    Returns:
        The last part of its path, with a digest of its content (without the record of `eef train`, which says how long
        it took). If the path doesn't exist, such as a model's name on a hub, the unchanged path; None for None.
    """
    if path is None or not path.exists():
        return None if path is None else str(path)
    files = sorted(_content_files(path)) if path.is_dir() else [path]
    found = hashlib.blake2b(digest_size=8)
    for file in files:
        with storage(file, "reading"), file.open("rb") as content:
            found.update(file.name.encode() + b"\0" + hashlib.file_digest(content, "blake2b").digest())
    return f"{path.name} ({found.hexdigest()})"


def _content_files(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if entry.is_file() and entry.name != TRAINING_SETTINGS)


def _written(path: Path, settings_path: Path) -> dict[str, Any] | None:
    """Return the settings next to a file, or None if there are none."""
    if not settings_path.exists():
        former = path.with_suffix(".settings.yaml")  # their location before version 0.2
        return _former(former) if former.exists() else None
    known = read_settings_file(settings_path)
    if not (settings_path.read_bytes().startswith(HEADER_START) or known.keys() >= _FORMER):
        raise CorruptFile(
            f"{settings_path} isn't a file of settings that eef-framework wrote",
            f"It must contain the settings that {path.name} was made with: restore it, or move it away.",
            code="corrupt-settings",
            path=str(settings_path),
        )
    return known


def _former(path: Path) -> dict[str, Any] | None:
    """Read settings under their former name; None if the file with this name isn't ours."""
    try:
        known = read_settings_file(path)
    except StorageError:
        return None
    return known if known.keys() >= _FORMER else None


def _check(path: Path, changes: list[str]) -> None:
    if changes:
        raise RunConflict(
            f"{str(path)!r} contains episodes that were made with other settings:{listed(changes)}",
            "Choose another --out, undo these changes, or delete the file to start again.",
            code="other-settings",
            path=str(path),
            changes=changes,
        )


def _files_in(settings: Any) -> Iterator[Path]:
    """Yield the files that settings name."""
    if isinstance(settings, Mapping):
        for value in settings.values():
            yield from _files_in(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _files_in(value)
    elif isinstance(settings, str) and len(settings) < 4096 and "\0" not in settings and "\n" not in settings:
        try:
            if expand(settings).is_file():
                yield expand(settings)
        except OSError:  # too long for a name
            return
