"""A lock between processes. It is released when the process that holds it ends, for any reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from eef_framework.errors import RunConflict, storage

_held: set[str] = set()
"""Lock files that this process holds."""


@contextmanager
def locked(file: Path, what: Path) -> Iterator[None]:
    """Hold a lock while the block runs. The lock file is created if absent, and is kept.

    Args:
        file: the lock file.
        what: what it protects, for messages.

    Raises:
        RunConflict: another process holds it, with the code `in-use`.
        StorageError: the file can't be written to.
    """
    lock = FileLock(file, blocking=False, thread_local=False)
    try:
        with storage(file, "locking"):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout as cause:
                raise RunConflict(
                    f"another process is writing to {str(what)!r}",
                    "Wait for it, or choose another --out.",
                    code="in-use",
                    path=str(what),
                ) from cause
        held = os.path.realpath(file)
        _held.add(held)
        try:
            yield
        finally:
            _held.discard(held)
    finally:
        lock.release()


def is_held(file: Path) -> bool:
    """Return whether this process holds a lock."""
    return os.path.realpath(file) in _held
