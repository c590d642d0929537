"""Writes model checkpoints atomically."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eef_framework._compat.safetensors import os_error_number
from eef_framework.errors import EefError, storage

_LAST = "config.json"
"""The file by which libraries recognise a model: it is moved into place last."""
_FULL_BELOW = 1 << 20
"""If a library can't write and doesn't say why, a disk with less free space than this, in bytes, is considered full."""


@contextmanager
def new_checkpoint(output: Path) -> Iterator[Path]:
    """Fill a folder with a model, which replaces the existing one if the block succeeds.

    Other content of the folder is kept.

    Args:
        output: folder of the checkpoint.

    Yields:
        A temporary folder inside it to write to.

    Raises:
        StorageError: the disk is full, or fails otherwise.
    """
    temporary = output / ".checkpoint.tmp"
    try:
        with writing(output):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            (output / _LAST).unlink(missing_ok=True)
            for path in sorted(temporary.iterdir(), key=lambda path: path.name == _LAST):
                target = output / path.name
                if target.is_dir():
                    shutil.rmtree(target)
                path.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn exceptions of libraries that can't write into storage errors: many have exception types of their own.

    Args:
        folder: where they write.

    Raises:
        StorageError: the disk is full, or fails otherwise.
    """
    with storage(folder, "writing the checkpoint"):
        try:
            yield
        except (EefError, OSError):
            raise
        except Exception as cause:
            number = _number(cause, folder)
            if number is None:
                raise
            raise OSError(number, os.strerror(number)) from cause


def _number(cause: Exception, folder: Path) -> int | None:
    """Return the operating system's error number that a library's exception stands for; None if it is another error."""
    if (number := os_error_number(cause)) is not None:  # of safetensors and tokenizers
        return number
    if isinstance(cause, RuntimeError) and "PytorchStreamWriter" in str(cause):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        return errno.ENOSPC if shutil.disk_usage(existing).free < _FULL_BELOW else errno.EIO
    return None
