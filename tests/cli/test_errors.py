import sys
import warnings

import pytest
import typer

from eef_framework.cli.errors import run_app
from eef_framework.errors import ConfigError, EefError, EefWarning, StorageError


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
