"""The process that TextWorld runs in, and requests to it.

TextWorld is written in Python, and a Python thread in an endless loop can't be stopped: it would slow everything down
and keep the program from exiting. Therefore the games run in a separate process, which ends if a request takes too
long. Whatever ends it, only the episode whose request was in progress fails: the others are replayed in a new process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import weakref
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe
from typing import Any

from eef_framework.errors import EnvironmentFailure
from eef_textworld.messages import ViewOptions


class EngineProcess:
    """The engine's process. It is started by the first request, and again after it has died. Thread-safe.

    Args:
        options: format of observations.
        cached_games: number of games to cache.
        timeout_s: time limit for a request, in seconds.

    Attributes:
        generation: number of processes so far. A game's number is valid only in the generation that returned it.
    """

    def __init__(self, options: ViewOptions, cached_games: int, timeout_s: float) -> None:
        self._settings = {"options": asdict(options), "cached_games": cached_games, "timeout_s": timeout_s}
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._stop: weakref.finalize[[subprocess.Popen[bytes], Connection], EngineProcess] | None = None
        self._import_error: str | None = None
        """Why the process can't import TextWorld; empty if it can, None if it hasn't reported yet."""
        self.generation = 0

    @property
    def pid(self) -> int | None:
        """The process id, or None if there is no process."""
        return self._process.pid if self._process else None

    def request(self, name: str, *arguments: Any) -> Any:
        """Have a method of the engine called, and return its result.

        Raises:
            EnvironmentFailure: the engine failed, took too long, or died.
        """
        with self._lock:
            if self._connection is None:
                self._start()
            assert self._connection is not None
            try:
                if self._import_error is None:
                    self._import_error = self._connection.recv()
                if self._import_error:
                    reason = self._import_error
                    self.close()
                    raise EnvironmentFailure(
                        f"TextWorld can't be imported: {reason}",
                        "Install it again: pip install --force-reinstall --no-cache-dir textworld jericho",
                        code="textworld-broken",
                        reason=reason,
                    )
                self._connection.send((name, arguments))
                succeeded, answer = self._connection.recv()
            except (EOFError, OSError) as error:
                raise self._died(name) from error
            except EnvironmentFailure:
                raise
            except BaseException:  # the next request would receive this one's answer
                self.close()
                raise
        if not succeeded:
            raise EnvironmentFailure(
                f"TextWorld failed on the request {name!r}: {answer}",
                code="textworld-failed",
                request=name,
                reason=answer,
            )
        return answer

    def close(self) -> None:
        """End the process and all games in it."""
        with self._lock:
            if self._stop is not None:
                self._stop()
            self._process = self._connection = self._stop = None

    def _start(self) -> None:
        ours, theirs = Pipe()
        # A new interpreter, because a forked process would inherit locks held by other threads.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "eef_textworld.engine_server", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # TextWorld prints warnings about its grammars
        )
        theirs.close()
        self._connection, self._import_error = ours, None
        self._stop = weakref.finalize(self, _stop, self._process, ours)
        self.generation += 1
        ours.send(self._settings)

    def _died(self, name: str) -> EnvironmentFailure:
        assert self._process is not None
        self._process.kill()
        status = self._process.wait()
        self.close()
        if status == -signal.SIGALRM:
            return EnvironmentFailure(
                f"TextWorld took longer than {self._timeout_s:g} s for the request {name!r}, and was stopped",
                "Use smaller games, or raise the environment's setting `timeout_s`.",
                code="textworld-hung",
                timeout_s=self._timeout_s,
                request=name,
            )
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return EnvironmentFailure(
            f"TextWorld's process ended with {how} during the request {name!r}",
            code="textworld-died",
            status=status,
            request=name,
        )


def _stop(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()
