import os
import subprocess
import sys

import pytest

from eef_framework.cli.encoding import use_any_terminal

RUN = "from eef_framework.cli.run import main; main()"
EEF = "from eef_framework.cli.main import main; main()"


@pytest.fixture
def started(folder):
    """Run a command in a process of its own, with variables of its own (None takes one away)."""

    def started(main, *arguments, shell="", **variables):
        changed = os.environ | {"EEF_PLUGINS": "eef_framework.testing.plugin"} | variables
        env = {name: value for name, value in changed.items() if value is not None}
        command = [sys.executable, "-c", main, *arguments]
        if shell:
            command = ["sh", "-c", f'"$@" {shell}', "sh", *command]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=120)

    return started


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        ASCII,
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii:strict", "COLUMNS": "20"},
        {"TERM": "dumb", "NO_COLOR": "1", "TZ": "Nowhere/Else"},
        {"TERM": None, "LANG": None},
        {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
        {"HOME": None, "XDG_CACHE_HOME": None},
    ],
    ids=str,
)
def test_a_run_prints_its_table_whatever_the_terminal_and_the_home(started, folder, variables):
    done = started(RUN, "own.yaml", "--out", "runs/a b [1] é", **variables)
    assert done.returncode == 0, done.stderr
    encoding = variables.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
    assert ("±" in done.stdout.decode(encoding)) == (encoding != "ascii")
    assert (folder / "runs").is_dir()


@pytest.mark.parametrize("variables", [ASCII, {"PYTHONIOENCODING": "cp1252"}], ids=["ascii", "cp1252"])
def test_errors_and_help_are_readable_in_any_encoding(started, variables):
    error = started(RUN, "Ω→é.yaml", **variables)
    assert (error.returncode, b"Traceback" in error.stderr) == (2, False)
    assert b".yaml" in error.stderr
    assert started(RUN, "--help", **variables).returncode == 0
    assert started(EEF, "plugins", **variables).returncode == 0


@pytest.mark.parametrize("shell", ["<&-", ">&-", "2>&-", "</dev/null", ">&- 2>&- <&-"])
def test_closed_streams_end_no_run(started, folder, shell):
    assert started(RUN, "own.yaml", shell=shell).returncode == 0
    assert (folder / "runs/own/report.html").exists()


def test_a_game_without_input_ends(started):
    done = started(EEF, "play", "corridor", shell="<&-")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["plugins", "plugins corridor", "--help", "explore --help"])
def test_a_reader_that_leaves_early_is_not_an_error(started, command):
    done = started(EEF, *command.split(), shell="| head -n 1")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "own.yaml/run", "/proc/run"])
def test_a_path_that_cannot_be_is_an_error_in_words(started, name):
    done = started(RUN, "own.yaml", "--out", name)
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert done.stderr.startswith(b"error [")


def test_what_an_encoding_lacks_is_printed_similarly(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        use_any_terminal()
        print("0.33 ±0.05, a → b, “café” ½ … ☃ \udcc3", file=out)
    assert (tmp_path / "out").read_text() == '0.33 +-0.05, a -> b, "cafe" ? ... ? ?\n'
