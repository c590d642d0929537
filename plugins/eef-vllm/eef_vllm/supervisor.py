"""Runs a command, and ends it with all its processes when standard input closes.

The program that started it holds the other end of standard input. The operating system closes it when that program
ends, even if it is killed, so neither the command nor its folder is left. Uses only the standard library: it runs in
the server's environment.

Usage: supervisor.py FOLDER [COMMAND...]; without a command, it only removes the folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading

GRACE_S = 10.0
"""Time for an orderly end, in seconds."""
PR_SET_PDEATHSIG = 1
"""Linux: the signal that a process gets when its parent ends."""


def main() -> int:
    """Run the command, and return its exit status. The folder is removed unless the command ended by itself."""
    folder, *command = sys.argv[1:]
    # Signals to a whole group, as by Ctrl-C, end the program that started this one, which then closes standard input.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not command:
        _wait_until_input_closes()
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_prepare_child)
    closed = threading.Event()

    def end() -> None:
        _wait_until_input_closes()
        closed.set()
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        _signal(process.pid, signal.SIGKILL)

    threading.Thread(target=end, daemon=True).start()
    status = process.wait()
    _signal(process.pid, signal.SIGKILL)  # processes that it started and left running
    if closed.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


def _wait_until_input_closes() -> None:
    # A buffered read would hold a lock that Python needs to exit when the command has ended by itself.
    while os.read(0, 4096):
        pass


def _prepare_child() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):  # in case that this process itself is killed
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
