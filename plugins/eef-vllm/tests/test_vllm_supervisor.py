"""Processes that are started by way of the supervisor are never left running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import eef_vllm.supervisor
import psutil
import pytest
from eef_vllm.temporary_folder import TemporaryFolder

SERVER = (
    "import os, subprocess, sys, time; p = subprocess.Popen(['sleep', '600']); print(os.getpid(), p.pid, flush=True)"
)
PROGRAM = f"""
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they are ignored where nohup runs the tests
    signal.signal(number, signal.SIG_DFL)
subprocess.Popen([sys.executable, {eef_vllm.supervisor.__file__!r}, sys.argv[2], sys.executable, "-c", sys.argv[1]],
                 stdin=subprocess.PIPE)
time.sleep(600)
"""


def running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def folder(tmp_path):
    """The server's folder."""
    path = tmp_path / "server"
    path.mkdir()
    (path / "server.log").touch()
    return path


@pytest.fixture
def program(folder):
    """A program in a process group of its own, its supervisor, the server, and the server's child."""
    code = SERVER + "; time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, code, str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as started:
        pids = [int(word) for word in started.stdout.readline().split()]
        (supervisor,) = psutil.Process(started.pid).children()
        yield started, supervisor, pids
        started.kill()
        for pid in pids:
            if running(pid):
                os.kill(pid, signal.SIGKILL)


def ended(pids):
    deadline = time.monotonic() + 60
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(running, pids))


def test_the_server_ends_with_a_program_that_is_killed_and_its_folder_is_removed(program, folder):
    started, supervisor, pids = program
    assert all(map(running, pids))
    started.kill()
    assert ended([*pids, supervisor.pid])
    assert not folder.exists()


@pytest.fixture
def temporary_folder(tmp_path):
    """A program with a temporary folder, in a process group of its own, and the folder."""
    code = (
        "import signal, time\nfrom eef_vllm.temporary_folder import TemporaryFolder\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored if the tests run in the background
        "folder = TemporaryFolder('adapters-')\n"
        "(folder.path / 'weights').touch()\nprint(folder.path, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as started:
        yield started, Path(started.stdout.readline().strip())
        started.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_temporary_folder_is_removed_with_a_program_that_is_killed(temporary_folder, tmp_path, number):
    started, path = temporary_folder
    assert (path.parent, [each.name for each in path.iterdir()]) == (tmp_path, ["weights"])
    (supervisor,) = psutil.Process(started.pid).children()
    os.killpg(started.pid, number) if number == signal.SIGINT else started.kill()
    assert ended([supervisor.pid])
    assert not path.exists()


def test_a_temporary_folder_can_be_removed_before(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = TemporaryFolder("adapters-")
    (folder.path / "weights").touch()
    folder.remove()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_server_ends_with_a_group_that_gets_a_signal(program, number):
    started, supervisor, pids = program
    os.killpg(started.pid, number)
    assert ended([*pids, supervisor.pid])


def test_what_a_server_leaves_running_ends_with_it_and_its_log_is_kept(program, folder):
    _, supervisor, pids = program
    os.kill(pids[0], signal.SIGKILL)
    assert ended([*pids, supervisor.pid])
    assert (folder / "server.log").is_file()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a feature of Linux")
def test_the_server_ends_with_a_supervisor_that_is_killed(program):
    _, supervisor, pids = program
    supervisor.kill()
    assert ended(pids[:1])
