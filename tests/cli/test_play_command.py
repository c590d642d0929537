import io
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from eef_framework.records import Trajectory
from eef_framework.runs import read_rows
from eef_framework.testing.corridor import Corridor, best_action

EEF = [sys.executable, "-c", "from eef_framework.cli.main import main; main()"]


@pytest.fixture
def play(command, monkeypatch):
    """Play with these lines on standard input."""

    def play(*arguments, lines=()):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return command("eef", "play", *arguments)

    return play


def winning(number=0):
    """Return the actions that solve a task of the corridor."""
    corridor = Corridor()
    with corridor.open(corridor.tasks("train")[number]) as session:
        while not session.done:
            session.step(best_action(session.observation.text))
        return [step.action for step in session.steps]


def saved(folder, name="own.jsonl"):
    path = folder / name
    return list(read_rows(path, Trajectory)) if path.exists() else []


def test_an_episode_is_played_by_words_and_by_numbers(play):
    done = play("corridor", lines=["2", "open[door]"])
    assert done.code == 0, done.err
    assert "task corridor-train-000 (short)\n" in done.out
    assert "For you, not for the agent: Open the door.\n" in done.out
    assert "The agent is told: Open the door; a locked one needs the key." in done.out
    assert "  1 go[west]\n  2 go[east]\n" in done.out
    assert "[after 1 actions, score 0]" in done.out
    assert "score 1." in done.out.splitlines()[-1] or "[after 2 actions, score 1]" in done.out
    assert "\x1b[" not in done.out


@pytest.mark.filterwarnings("default")  # that some tasks have no demonstration is said
def test_what_is_saved_is_a_demonstration(play, folder, command):
    for _ in range(3):
        actions = winning(len(saved(folder)))
        assert play("corridor", "--save", "own.jsonl", lines=[*actions, "quit"]).code == 0
    rows = saved(folder)
    assert [row.task for row in rows] == list(Corridor().tasks("train")[:3])
    assert {row.actor for row in rows} == {"expert/person"}
    assert [row.id for row in rows] == [f"expert/person/corridor-train-00{n}" for n in range(3)]
    assert [(row.reward, row.ending) for row in rows] == [(1.0, "terminated")] * 3
    assert rows[0].actions == tuple(winning())
    run = command("eef-run", "own.yaml", "--set", "collect.trajectories=own.jsonl", "--out", "out")
    assert run.code == 0, run.err


@pytest.mark.parametrize("undo", ["undo", "/undo"])
def test_undo_goes_back_by_one_action_even_from_the_end(play, folder, undo):
    actions = winning()
    lines = ["go[west]", undo, *actions, undo, actions[-1], "quit"]
    done = play("corridor", "--save", "own.jsonl", lines=lines)
    assert done.out.count("score 1]") == 2
    (row,) = saved(folder)
    assert row.actions == tuple(actions)


def test_there_is_nothing_before_the_start(play):
    assert "nothing to undo" in play("corridor", lines=["undo"]).out


def test_nothing_follows_the_end(play, folder):
    play("corridor", "--save", "own.jsonl", lines=[*winning(), "go[west]", "quit"])
    assert saved(folder)[0].actions == tuple(winning())


def test_nonsense_is_an_action_but_a_wrong_number_is_not(play, folder):
    done = play("corridor", "--save", "own.jsonl", lines=["9", "", "fly away", "quit"])
    assert "There is no action 9." in done.out
    assert "'fly away' isn't a valid action" in done.out
    (row,) = saved(folder)
    assert [(step.action, step.valid) for step in row.steps] == [("fly away", False)]
    assert row.ending == "gave-up"


def test_help_and_actions_are_shown(play):
    done = play("corridor", lines=["help", "actions"])
    assert "/undo" in done.out
    assert done.out.count("  1 go[west]") == 2


@pytest.mark.parametrize("lines", [["2"], []])
def test_the_end_of_the_input_in_the_middle_saves_nothing(play, folder, lines):
    done = play("corridor", "--save", "own.jsonl", lines=lines)
    assert done.code == 0
    assert "nothing was saved." in done.out
    assert not (folder / "own.jsonl").exists()


def test_the_end_of_the_input_after_the_end_of_the_episode_saves_it(play, folder):
    assert play("corridor", "--save", "own.jsonl", lines=winning()).code == 0
    assert saved(folder)[0].ending == "terminated"


def test_leaving_before_the_first_action_saves_nothing(play, folder):
    assert play("corridor", "--save", "own.jsonl", lines=["quit"]).code == 0
    assert not (folder / "own.jsonl").exists()


def test_task_split_and_settings_are_chosen(play, folder):
    done = play(
        *("corridor", "--task", "corridor-test-004", "--split", "test", "-s", "rooms=9", "--save", "own.jsonl"),
        lines=["go[east]", "quit"],
    )
    assert done.code == 0, done.err
    (row,) = saved(folder)
    assert row.task == Corridor(rooms=9).tasks("test")[4]


@pytest.mark.parametrize(
    ("arguments", "code", "details"),
    [
        (["corridro"], "unknown-name", {"given": "corridro"}),
        (["corridor", "--task", "corridor-train-0"], "unknown-name", {"given": "corridor-train-0"}),
        (["corridor", "--split", "tset"], "no-such-split", {"split": "tset"}),
        (["corridor", "--set", "rooms"], "no-value", {"given": "rooms"}),
    ],
)
def test_mistakes_are_explained(play, arguments, code, details):
    done = play(*arguments)
    assert (done.code, done.error.code) == (2, code)
    assert details.items() <= done.error.details.items()


def test_a_task_is_saved_once(play, folder):
    assert play("corridor", "--save", "own.jsonl", lines=[*winning(), "quit"]).code == 0
    done = play("corridor", "--save", "own.jsonl", "--task", "corridor-train-000", lines=winning())
    assert (done.code, done.error.code) == (2, "task-already-saved")
    assert done.error.details["task"] == "corridor-train-000"
    assert len(saved(folder)) == 1


def test_the_session_is_closed_however_it_ends(play, monkeypatch):
    closed = []
    monkeypatch.setattr("eef_framework.testing.corridor.CorridorSession.release", lambda self: closed.append(self))
    play("corridor", lines=["2", "undo"])
    assert len(closed) == 2
    assert play("corridor", "-s", "fault=raise", lines=["2"]).code == 1
    assert len(closed) == 3


def test_a_pipe_drives_it_from_outside(folder):
    lines = "\n".join(["2", "open[door]", "quit", ""])
    done = subprocess.run([*EEF, "play", "corridor", "--save", "own.jsonl"], input=lines, text=True, timeout=60)
    assert done.returncode == 0
    assert saved(folder)[0].actions == ("go[east]", "open[door]")


def test_on_a_terminal_ctrl_c_leaves_cleanly(folder):
    """A real terminal: panels, a prompt, and an interrupt in the middle."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        # A program started in the background inherits that interrupts are ignored, and so would this one.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.execv(EEF[0], [*EEF, "play", "corridor", "--save", "own.jsonl"])
    seen = _until(terminal, b"> ")
    os.write(terminal, b"2\n")
    seen += _until(terminal, b"after 1 actions")
    # Python doesn't see an interrupt that comes between its last look and the wait for a line (four in 400 tries, while
    # a person has to hit some microseconds): sent again, it is seen.
    seen += _until(terminal, b"nothing was saved.", impatient=lambda: os.kill(child, signal.SIGINT))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert "╭".encode() in seen
    assert b"Traceback" not in seen
    assert not (folder / "own.jsonl").exists()


def test_an_interrupt_while_something_is_printed_is_answered_too(play, monkeypatch):
    shown = Console.print

    def interrupted(self, *objects, **how):
        if "[after 1 actions" in str(objects[0]):
            self.__enter__()  # what is printed is collected until the one that entered leaves, which it doesn't
            raise KeyboardInterrupt
        return shown(self, *objects, **how)

    monkeypatch.setattr(Console, "print", interrupted)
    done = play("corridor", lines=["2"])
    assert done.code == 0
    assert "nothing was saved." in done.out


def _until(terminal, words, impatient=lambda: None, patience_s=5, timeout_s=60):
    """Read until there are these words. What is done at first is done again when nothing is said for some seconds."""
    impatient()
    seen, until = b"", time.monotonic() + timeout_s
    while words not in seen and time.monotonic() < until:
        if not select.select([terminal], [], [], patience_s)[0]:
            impatient()
            continue
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break  # the other side has gone
    assert words in seen, seen
    return seen
