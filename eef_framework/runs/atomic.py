"""Atomic writes of files and folders."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from eef_framework.errors import StorageError, storage

SUFFIX = ".eef-tmp"
"""Suffix of files and folders that are being written."""

MARK = ".eef-framework"
"""File that marks a folder as ours."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file atomically: a reader sees the old content or the new one, even after a crash.

    A symbolic link is kept: the file that it points to is replaced. The file keeps its mode and, if the system allows
    it, its owner.

    Yields:
        The new file. It replaces the old one if the block succeeds, and is deleted otherwise.

    Raises:
        StorageError: the disk is full, the folder can't be written to, the path is a folder or a device.
    """
    target = Path(os.path.realpath(path))
    with storage(path, "writing"):
        check_regular(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(target)
        temporary = target.with_name(f".{target.name}.{os.getpid()}{SUFFIX}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                _copy_permissions(target, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        StorageError: as for `replacing`.
    """
    with replacing(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, atomically.

    Raises:
        StorageError: as for `replacing`.
    """
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Write data as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def check_regular(path: Path) -> None:
    """Reject folders, devices and pipes where a file is expected.

    Raises:
        StorageError: the path is one of them, with the code `not-a-file`.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a device or a pipe"
        raise StorageError(f"{str(path)!r} is {what}", "Name a file.", code="not-a-file", path=str(path))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears only if the block succeeds.

    An earlier one is replaced; a folder that isn't ours is set aside with all its content.

    Yields:
        A temporary folder next to it to write to. Leftovers of a crash are removed.
    """
    temporary = path.with_name(f".{path.name}{SUFFIX}")
    with storage(path, "creating the folder"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        (temporary / MARK).touch()
    try:
        yield temporary
        with storage(path, "putting in place"):
            if (path / MARK).exists():
                shutil.rmtree(path)
            elif path.exists():
                path.rename(free_name(path))
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def set_aside(path: Path, data: bytes) -> Path:
    """Save bytes of a file, unchanged, in a new file next to it.

    Returns:
        The new file: `NAME.bad`, or `NAME.bad.1` and so on where that is taken.
    """
    while True:
        aside = free_name(path)
        with storage(aside, "writing"):
            try:
                file = aside.open("xb")
            except FileExistsError:  # another process was faster
                continue
            try:
                with file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
        return aside


def free_name(path: Path) -> Path:
    """Return the first of `NAME.bad`, `NAME.bad.1`, ... that doesn't exist."""
    number, found = 0, path.with_name(f"{path.name}.bad")
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}.bad.{number}")
    return found


def _copy_permissions(old: Path, new: Path) -> None:
    status = old.stat()
    with suppress(OSError, AttributeError):  # only root may change owners; Windows has no owners of this kind
        os.chown(new, status.st_uid, status.st_gid)
    new.chmod(stat.S_IMODE(status.st_mode))


def _remove_left_over(target: Path) -> None:
    """Remove temporary files that killed processes left for the same file."""
    import psutil  # type: ignore[import-untyped]

    for left in target.parent.glob(f".{_literal(target.name)}.*{SUFFIX}"):
        pid = left.name.removesuffix(SUFFIX).rpartition(".")[2]
        if pid.isdecimal() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            left.unlink(missing_ok=True)


def _literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
