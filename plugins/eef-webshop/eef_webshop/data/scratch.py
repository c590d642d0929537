"""A folder to prepare a store in, beside the place where it will be."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_beside(output: Path) -> Iterator[Path]:
    """Make a hidden folder beside a path, and remove it in the end unless it was moved away.

    Folders that were left here by processes that were killed are removed, too. A lock on each, which ends with the
    process that holds it, tells them from those in use.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{output.name}.preparing-"
    for left in output.parent.glob(f"{prefix}*"):
        with suppress(OSError):
            os.close(_locked(left))
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=output.parent))
    lock = _locked(folder)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int:
    """Open and lock a folder; fails with `OSError` if another process has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
