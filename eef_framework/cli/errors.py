"""Prints errors without a traceback, and sets the exit code."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from eef_framework.cli.encoding import use_any_terminal
from eef_framework.cli.printable import printable
from eef_framework.errors import ConfigError, EefError, EefWarning, storage_error
from eef_framework.paths import expanded
from eef_framework.resources import limit_threads

EPILOG = "Set the environment variable EEF_TRACEBACK=1 to see the traceback of errors and the source of warnings."
"""Text below the help of both commands."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells (128 + SIGINT)."""
TERMINATED = 143
"""Exit code after SIGTERM, with which batch systems end jobs (128 + SIGTERM)."""

STUCK_S = 5.0
"""Seconds that code of a component gets to return after SIGTERM, before it is interrupted itself."""


def run_app(app: typer.Typer, resumable: Collection[str] | None = None) -> None:
    """Run a command line and exit.

    Args:
        app: the command line.
        resumable: commands that continue an interrupted run if they are repeated; None for all.

    Exit codes: 0 done; 1 failed; 2 wrong command or configuration; 130 interrupted; 143 terminated. An error that isn't
    an `EefError` is a bug and keeps its traceback; `EEF_TRACEBACK=1` shows the traceback of the others, too.
    """
    # Let torch's threads sleep, not spin, while they wait: if other processes need the cores, spinning makes
    # everything several times slower. torch reads the variable when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    limit_threads()
    use_any_terminal()
    with _sigterm_as_interrupt() as terminated:
        try:
            _expand_paths(app)
            with warnings.catch_warnings():
                warnings.showwarning = functools.partial(_warned, warnings.showwarning)
                app()
        except EefError as error:
            if os.environ.get("EEF_TRACEBACK"):
                raise
            show(error)
            sys.exit(2 if isinstance(error, ConfigError) else 1)
        except OSError as error:
            if error.filename is None or os.environ.get("EEF_TRACEBACK"):
                raise
            show(storage_error(error, error.filename, "using"))
            sys.exit(1)
        except KeyboardInterrupt:
            _interrupted(resumable)
            sys.exit(TERMINATED if terminated.is_set() else INTERRUPTED)
        except SystemExit as done:
            if done.code == INTERRUPTED:  # typer handles Ctrl-C itself
                _interrupted(resumable)
                sys.exit(TERMINATED if terminated.is_set() else INTERRUPTED)
            raise


@contextmanager
def _sigterm_as_interrupt() -> Iterator[threading.Event]:
    """Treat SIGTERM as Ctrl-C, so that what is under way ends in order. Programs started from here don't inherit that.

    Yields:
        An event that is set when SIGTERM has arrived.
    """
    terminated, process = threading.Event(), os.getpid()

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != process:  # a copy of this process, which is to end at once as usual
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if terminated.is_set():
            return  # batch systems may signal a job's processes one by one, while these signal each other
        terminated.set()
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # SIGINT is ignored in background jobs of shells
            raise KeyboardInterrupt
        with suppress(RuntimeError):  # no loop is running
            _interrupt_again_if_stuck(asyncio.get_running_loop())
        handler(signal.SIGINT, frame)

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield terminated
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt_again_if_stuck(loop: asyncio.AbstractEventLoop) -> None:
    """Interrupt a second time if code of a component doesn't return to the event loop, which ends all in order.

    The second interrupt is raised in that code.
    """
    returned = threading.Event()
    loop.call_soon_threadsafe(returned.set)

    def watch() -> None:
        if not returned.wait(STUCK_S):
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, name="eef-interrupt", daemon=True).start()


def _expand_paths(app: typer.Typer) -> None:
    """Expand `~` and `$HOME` in paths given to any command, including those of plugins: `--out=~/x`."""
    for command in app.registered_commands:
        if command.callback and not hasattr(command.callback, "expands_paths"):
            command.callback = _with_paths(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _expand_paths(group.typer_instance)


def _with_paths(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def called(**values: Any) -> Any:
        return callback(**expanded(values))

    called.expands_paths = True  # type: ignore[attr-defined]
    return called


def show(error: EefError) -> None:
    """Print an error on stderr: a red panel on a terminal, plain lines elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.print(Text(printable(f"error [{error.code}]: {error}")), soft_wrap=True)
        return
    text = Text(printable(error.message))
    if error.fix:
        text.append(f"\n\n{printable(error.fix)}", style="bold")
    console.print(Panel(text, title=f"error: {error.code}", title_align="left", border_style="red"))


def warn(text: str) -> None:
    """Print a warning on stderr."""
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("warning: ", "yellow"), printable(text)), soft_wrap=True)


def _warned(otherwise: Callable[..., None], message: Warning | str, *where: Any, **how: Any) -> None:
    """Print an `EefWarning` without its source line, and other warnings as Python does."""
    if isinstance(message, EefWarning) and not os.environ.get("EEF_TRACEBACK"):
        warn(str(message))
    else:
        otherwise(message, *where, **how)


def _interrupted(resumable: Collection[str] | None) -> None:
    resumes = resumable is None or any(word in resumable for word in sys.argv[1:2])
    console = Console(stderr=True, highlight=False)
    console.print(f"Interrupted.{' To resume, repeat the command.' if resumes else ''}", style="yellow")
