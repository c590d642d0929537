from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from eef_webshop.data.staging import staging_folder

HOLD = """
import sys, time
from pathlib import Path
from eef_webshop.data.staging import staging_folder
with staging_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_is_gone_afterwards_whatever_happens(tmp_path):
    with staging_folder(tmp_path / "new" / "store") as folder:
        (folder / "file").touch()
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(ValueError, match="broken"), staging_folder(tmp_path / "store"):
        raise ValueError("broken")
    assert not list(tmp_path.glob(".store*"))


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
    try:
        theirs = other.stdout.readline().strip()
        with staging_folder(tmp_path / "store"):
            assert os.path.isdir(theirs)
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.communicate()
    assert os.path.isdir(theirs)
    with staging_folder(tmp_path / "store"):
        assert not os.path.exists(theirs)
