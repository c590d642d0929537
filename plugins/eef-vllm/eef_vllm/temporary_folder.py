"""A temporary folder that doesn't outlast this program."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


class TemporaryFolder:
    """A temporary folder. It is removed when this program ends, even if this program is killed.

    Args:
        prefix: first part of its name.

    Attributes:
        path: the folder.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        supervisor = Path(__file__).with_name("supervisor.py")
        self._process = subprocess.Popen(
            [sys.executable, str(supervisor), str(self.path)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C doesn't reach it, even before it ignores it
        )

    def remove(self) -> None:
        """Remove it with its files. May be called twice."""
        self._process.communicate()  # closes its standard input
