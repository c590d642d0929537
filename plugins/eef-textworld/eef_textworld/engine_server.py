"""The program of the engine's process: `python -m eef_textworld.engine_server FILE_DESCRIPTOR`."""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from eef_textworld.messages import ViewOptions


def serve(connection: Connection) -> None:
    """Answer requests until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which ends this process when it ends
    try:
        # Imported before the first request, because on a busy machine that takes longer than a request may.
        from eef_textworld.engine import Engine
    except Exception as error:  # its C library may be missing, or compiled for another machine
        connection.send(f"{type(error).__name__}: {error}")
        return
    connection.send("")
    settings = connection.recv()
    engine = Engine(ViewOptions(**settings["options"]), settings["cached_games"])
    while True:
        try:
            request, arguments = connection.recv()
        except EOFError:
            return
        # Unless the timer is cancelled, the system kills this process, even if it is in an endless loop.
        signal.setitimer(signal.ITIMER_REAL, settings["timeout_s"])
        try:
            answer = (True, getattr(engine, request)(*arguments))
        except Exception as error:
            answer = (False, f"{type(error).__name__}: {error}")
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
