import asyncio
import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest
import typer

from eef_framework.cli import errors
from eef_framework.cli.errors import run_app
from eef_framework.errors import ConfigError, EefError, EefWarning, StorageError
from eef_framework.event_loop import run_coroutine


def app_that(action):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command():
        action()

    return app


def raising(error):
    def action():
        raise error

    return app_that(action)


@pytest.fixture(autouse=True)
def _arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["command"])
    monkeypatch.delenv("EEF_TRACEBACK", raising=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("x is wrong", "Fix it."), 2), (StorageError("disk full"), 1), (EefError("oh"), 1)],
)
def test_an_error_is_told_without_traceback_and_with_its_exit_code(error, code, capsys):
    with pytest.raises(SystemExit) as left:
        run_app(raising(error))
    assert left.value.code == code
    assert capsys.readouterr().err == f"error [{error.code}]: {error}\n"


def test_brackets_in_an_error_are_no_markup(capsys):
    with pytest.raises(SystemExit):
        run_app(raising(EefError("search[red shoes] [/] [bold]")))
    assert "search[red shoes] [/] [bold]" in capsys.readouterr().err


def test_a_terminal_gets_a_panel(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(SystemExit):
        run_app(raising(ConfigError("x is wrong", "Fix it.")))
    shown = capsys.readouterr().err
    assert "╭" in shown
    assert "x is wrong" in shown
    assert "Fix it." in shown


def test_an_interruption_says_how_to_go_on(capsys):
    with pytest.raises(SystemExit) as left:
        run_app(raising(KeyboardInterrupt()))
    assert left.value.code == 130
    assert "repeat the command" in capsys.readouterr().err


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["usual", "in the background"])
def sigint(request):
    """How Ctrl-C is handled: shells make background jobs ignore it."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


def terminated():
    signal.raise_signal(signal.SIGTERM)
    pytest.fail("it went on")


def terminated_in_a_coroutine():
    async def waiting():
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        await asyncio.sleep(60)

    run_coroutine(waiting())


def terminated_in_code_that_hangs():
    async def hanging():
        signal.raise_signal(signal.SIGTERM)
        threading.Event().wait(60)

    run_coroutine(hanging())


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM can't be sent there")
@pytest.mark.parametrize("action", [terminated, terminated_in_a_coroutine, terminated_in_code_that_hangs])
def test_sigterm_ends_a_command_as_an_interruption(action, sigint, capsys, monkeypatch):
    monkeypatch.setattr(errors, "STUCK_S", 0.05)
    with pytest.raises(SystemExit) as left:
        run_app(app_that(action))
    assert left.value.code == 143
    assert "repeat the command" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM can't be sent there")
def test_sigterm_during_the_clean_up_after_another_one_does_not_cut_it_short(sigint):
    cleaned = []

    def action():
        try:
            terminated()
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    with pytest.raises(SystemExit) as left:
        run_app(app_that(action))
    assert (left.value.code, cleaned) == (143, [True])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_sigterm_ends_a_forked_process_at_once():
    code = """
import os, signal, time, typer
from eef_framework.cli import errors
from eef_framework.cli.errors import run_app
app = typer.Typer()
@app.command()
def command():
    ready, begun = os.pipe()
    child = os.fork()
    if not child:
        os.write(begun, b"!")
        time.sleep(20)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
run_app(app)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "-15\n"


@pytest.mark.parametrize(("command", "resumes"), [("explore", True), ("check", False)])
def test_an_interrupted_command_says_how_to_resume_only_if_it_resumes(command, resumes, capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    app = typer.Typer()
    for name in ("explore", "check"):
        app.command(name)(interrupted)
    monkeypatch.setattr(sys, "argv", ["eef", command])
    with pytest.raises(SystemExit):
        run_app(app, resumable=["collect", "explore"])
    assert ("repeat the command" in capsys.readouterr().err) is resumes


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line_without_the_place_in_our_code(capsys):
    with pytest.raises(SystemExit):
        run_app(app_that(lambda: warnings.warn("[slow] type", EefWarning, stacklevel=1)))
    assert capsys.readouterr().err == "warning: [slow] type\n"


@pytest.mark.parametrize(("kind", "asked_for"), [(UserWarning, ""), (EefWarning, "1")])
def test_other_warnings_say_where_they_come_from(kind, asked_for, monkeypatch):
    monkeypatch.setenv("EEF_TRACEBACK", asked_for)
    with pytest.warns(kind, match="odd"), pytest.raises(SystemExit):
        run_app(app_that(lambda: warnings.warn("odd", kind, stacklevel=1)))


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_app(app_that(lambda: 1 // 0))


def test_tracebacks_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("EEF_TRACEBACK", "1")
    with pytest.raises(ConfigError):
        run_app(raising(ConfigError("x")))


def test_a_command_that_ends_well_exits_with_0():
    with pytest.raises(SystemExit) as left:
        run_app(app_that(lambda: None))
    assert left.value.code == 0
