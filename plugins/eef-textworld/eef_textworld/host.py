"""The process that TextWorld runs in, and its requests.

TextWorld is Python, and a thread in an endless loop can be neither stopped nor left behind: it slows everything down,
and keeps the program from ending. So the games run in a process of their own, which ends itself when a request takes
too long. Whatever it dies of, only the episode whose request was under way fails: the others are rebuilt in a new
process, from their tasks and actions.
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
from eef_textworld.engine import Engine, Look
from eef_textworld.quicken import quicken


class Host:
    """The engine's process. It is started by the first request, and again when it has died.

    Attributes:
        generation: how many processes there have been; numbers of games mean nothing to another one's.

    Args:
        look: how games read.
        games: number of games to keep.
        limit_s: time limit for a request, in seconds.
    """

    def __init__(self, look: Look, games: int, limit_s: float) -> None:
        self._settings = {"look": asdict(look), "games": games, "limit_s": limit_s}
        self._limit_s = limit_s
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._end: weakref.finalize | None = None
        self._broken: str | None = None
        """Why the process can't import TextWorld, empty where it can; None until it has said so."""
        self.generation = 0

    @property
    def pid(self) -> int | None:
        """The id of the process, None where there is none."""
        return self._process.pid if self._process else None

    def ask(self, request: str, *arguments: Any) -> Any:
        """Have the engine do something.

        Raises:
            EnvironmentFailure: it couldn't, took too long, or died.
        """
        with self._lock:
            if self._connection is None:
                self._start()
            assert self._connection is not None
            try:
                if self._broken is None:
                    self._broken = self._connection.recv()
                if self._broken:
                    reason = self._broken
                    self.close()
                    raise EnvironmentFailure(
                        f"TextWorld can't be imported: {reason}",
                        "Install it again: pip install --force-reinstall --no-cache-dir textworld jericho",
                        code="textworld-broken",
                        reason=reason,
                    )
                self._connection.send((request, arguments))
                done, answer = self._connection.recv()
            except (EOFError, OSError) as error:
                raise self._died(request) from error
            except EnvironmentFailure:
                raise
            except BaseException:  # an answer that nobody waits for would be the next one's
                self.close()
                raise
        if not done:
            raise EnvironmentFailure(
                f"TextWorld failed while asked to {request}: {answer}",
                code="textworld-failed",
                request=request,
                reason=answer,
            )
        return answer

    def close(self) -> None:
        """End the process, and all games in it."""
        with self._lock:
            if self._end is not None:
                self._end()
            self._process = self._connection = self._end = None

    def _start(self) -> None:
        ours, theirs = Pipe()
        # A fresh interpreter: a forked one would share the locks of whatever threads there are.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # where TextWorld prints warnings about its grammars
        )
        theirs.close()
        self._connection, self._broken = ours, None
        self._end = weakref.finalize(self, _end, self._process, ours)
        self.generation += 1
        ours.send(self._settings)

    def _died(self, request: str) -> EnvironmentFailure:
        assert self._process is not None
        self._process.kill()
        status = self._process.wait()
        self.close()
        if status == -signal.SIGALRM:
            return EnvironmentFailure(
                f"TextWorld took longer than {self._limit_s:g} s when asked to {request}, and was ended",
                "Ask for smaller games, or raise the environment's setting `limit_s`.",
                code="textworld-hung",
                limit_s=self._limit_s,
                request=request,
            )
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return EnvironmentFailure(
            f"the process that TextWorld runs in ended with {how} when asked to {request}",
            code="textworld-died",
            status=status,
            request=request,
        )


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()


def serve(connection: Connection) -> None:
    """Answer requests until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which ends this process when it ends
    try:
        quicken()  # imports TextWorld, which on a busy machine takes longer than a request may
    except Exception as error:  # its library in C may be missing, or of another machine
        connection.send(f"{type(error).__name__}: {error}")
        return
    connection.send("")
    settings = connection.recv()
    engine = Engine(Look(**settings["look"]), settings["games"])
    while True:
        try:
            request, arguments = connection.recv()
        except EOFError:
            return
        # Unless it is called off, the system ends this process: whatever it is doing, and if nobody watches any more.
        signal.setitimer(signal.ITIMER_REAL, settings["limit_s"])
        try:
            answer = (True, getattr(engine, request)(*arguments))
        except Exception as error:
            answer = (False, f"{type(error).__name__}: {error}")
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
