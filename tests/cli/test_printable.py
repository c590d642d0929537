import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.cli.printable import printable
from eef_framework.cli.terminal import Terminal
from eef_framework.records import Trajectory
from eef_framework.runs import read_rows, write_rows
from eef_framework.testing.corridor import Corridor


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text):
    shown = printable(text)
    assert not set(shown) & {"\x1b", "\x07", "\x08", "\r", "\x7f", "\x9b", "\u202e", "\u2028"}


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand tabs", "é 漢字 ± 👩\u200d🚀", "[bold]no markup[/]"])
def test_what_is_harmless_stays(text):
    assert printable(text) == text


def test_escapes_are_shown_in_words():
    assert printable("\x1b[31mred\r\n\u202etxt") == "\\x1b[31mred\n\\u202etxt"


def test_a_state_is_shown_in_its_place(capsys):
    corridor = Corridor()
    with corridor.open(corridor.tasks("train")[0]) as session:
        seen = session.observation.changed(text="\x1b[2J[red]gone[/red]", actions=("\x1b]0;title\x07", "go[east]"))
        terminal = Terminal()
        terminal.actions(seen)
        terminal.say(seen.text)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J[red]gone[/red]" in out
    assert "  1 \\x1b]0;title\\x07\n" in out


def test_a_record_cannot_leave_its_place_in_the_terminal(command, folder):
    assert command("eef", "collect", "own.yaml", "--out", "t.jsonl").code == 0
    rows = list(read_rows(folder / "t.jsonl", Trajectory))
    bad = rows[0].changed(task=rows[0].task.changed(id="\x1b[2Jgone[/red]", fingerprint="x"))
    write_rows(folder / "other.jsonl", [bad])
    (folder / "broken.jsonl").write_text("\x1b[2J and more\n")
    for arguments in (
        ("eef-run", "own.yaml", "--set", "collect.trajectories=other.jsonl", "--out", "run"),
        ("eef", "check", "broken.jsonl"),
        ("eef", "repair", "broken.jsonl"),
        ("eef", "check", "\x1b[2J"),
    ):
        done = command(*arguments)
        assert done.code != 0
        assert "\x1b" not in done.out + done.err
        assert "\\x1b[2J" in done.err
