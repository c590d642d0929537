from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from eef_webshop.data.scratch import scratch_beside

HOLD = """
import sys, time
from pathlib import Path
from eef_webshop.data.scratch import scratch_beside
with scratch_beside(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_is_gone_afterwards_whatever_happens(tmp_path):
    with scratch_beside(tmp_path / "new" / "store") as folder:
        (folder / "file").touch()
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(ValueError, match="broken"), scratch_beside(tmp_path / "store"):
        raise ValueError("broken")
    assert not list(tmp_path.glob(".store*"))


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
    try:
        theirs = other.stdout.readline().strip()
        with scratch_beside(tmp_path / "store"):
            assert os.path.isdir(theirs)
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.communicate()
    assert os.path.isdir(theirs)
    with scratch_beside(tmp_path / "store"):
        assert not os.path.exists(theirs)
