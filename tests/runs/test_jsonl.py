import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import ConfigError, CorruptFile, EefError, RunConflict, StorageError
from eef_framework.records import Attribution, Example, Message, Trajectory
from eef_framework.runs import JsonlFile, read_rows, write_rows
from eef_framework.testing.strategies import trajectories

TURNS = (Message(role="user", content="a room"), Message(role="assistant", content="go"))


TALK = (Message(role="user", content="q"), Message(role="assistant", content="a", weight=1.0))


def example(number: int) -> Example:
    return Example(id=f"e{number}", messages=TURNS)


def code_of(path: Path, record: type = Example) -> str:
    """Return the code of the error that opening a file to append to it ends with; the file may not change."""
    before = path.read_bytes()
    beside = set(path.parent.iterdir())
    with pytest.raises(EefError) as caught:
        JsonlFile(path, record)
    assert path.read_bytes() == before
    assert set(path.parent.iterdir()) == beside
    return caught.value.code


@pytest.mark.slow
@given(st.lists(trajectories(), max_size=4))
def test_rows_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Trajectory]) -> None:
    path = tmp_path_factory.mktemp("rows") / "t.jsonl"
    with JsonlFile(path, Trajectory) as file:
        for row in rows:
            file.append(row)
    assert list(read_rows(path, Trajectory) if rows else ()) == rows


def test_a_complete_last_row_without_a_line_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_rows(path, [example(0), example(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with JsonlFile(path, Example) as file:
        assert [row.id for row in file.rows] == ["e0", "e1"]
        assert path.read_bytes() == whole[:-1], "opening alone changes nothing"
        file.append(example(2))
    assert path.read_bytes() == whole + example(2).model_dump_json().encode() + b"\n"


def test_a_torn_row_of_a_users_file_is_set_aside_and_never_over_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    for number in range(3):
        write_rows(path, [example(0)])
        torn = example(1).model_dump_json().encode()[: 20 + number]
        path.write_bytes(path.read_bytes() + torn)
        with JsonlFile(path, Example) as file:
            assert [row.id for row in file.rows] == ["e0"]
            file.append(example(2))
        assert [row.id for row in read_rows(path, Example)] == ["e0", "e2"]
        aside = tmp_path / ("e.jsonl.bad" if number == 0 else f"e.jsonl.bad.{number}")
        assert aside.read_bytes() == torn


def test_a_torn_row_of_a_run_is_cut_off_and_owed_again(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"config_digest": ""}')
    path = tmp_path / "collect" / "e.jsonl"
    path.parent.mkdir()
    path.write_bytes(b'{"ver')
    with JsonlFile(path, Example) as file:
        assert file.rows == []
        file.append(example(0))
    assert [row.id for row in read_rows(path, Example)] == ["e0"]
    assert [entry.name for entry in path.parent.iterdir()] == ["e.jsonl"]


ROW = example(0).model_dump_json()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a first line\nthe last line of my notes", "foreign-file"),
        (b'{"mine": 1}', "foreign-file"),
        (b'{"mine": 1', "foreign-file"),
        (b"{", "foreign-file"),
        (b'{"version":1,"', "foreign-file"),
        (b"\0\0\0\0", "foreign-file"),
        (b"\n\n[1, 2]\n", "foreign-file"),
        (ROW.encode("utf-16"), "foreign-file"),
        (ROW.encode("utf-16-le"), "foreign-file"),
        (f"{ROW}\nTODO: look at this".encode(), "corrupt-row"),
        (f'{ROW}\n{{"mine": 1}}'.encode(), "corrupt-row"),
        (f"{ROW}\nnonsense\n{ROW}\n".encode(), "corrupt-row"),
        (f"nonsense\n{ROW}\n".encode(), "corrupt-row"),
        (Attribution(trajectory="t", length=1).model_dump_json().encode() + b"\n", "wrong-kind"),
        (ROW.replace('"version":1', '"version":99').encode() + b"\n", "newer-format"),
        (gzip.compress(f"{ROW}\n".encode(), mtime=0), "compressed-output"),
        (b"PK\x03\x04 and so on", "foreign-file"),
        (b"\xff\xfe\0\xff", "foreign-file"),
    ],
)
def test_what_is_not_ours_in_full_is_never_written_to(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(content)
    assert code_of(path) == code
    with pytest.raises(EefError) as caught:
        write_rows(path, [example(1)])
    assert caught.value.code == code
    assert path.read_bytes() == content


def test_no_advice_to_repair_is_given_for_a_file_that_it_would_empty(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    malformed = b'{"id": "e", "messages": []}'
    for content in (malformed, b"notes\n", ROW.encode("utf-16"), b"PK\x03\x04", ROW.replace(":1,", ":99,", 1).encode()):
        path.write_bytes(content)
        with pytest.raises(CorruptFile) as caught:
            list(read_rows(path, Example))
        assert "repair" not in caught.value.fix


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_byte_order_marks_and_either_line_end_are_read_and_kept(
    tmp_path: Path, newline: bytes, mark: bytes, last: bool
) -> None:
    path = tmp_path / "e.jsonl"
    content = newline.join(mark + example(n).model_dump_json().encode() for n in range(3)) + (newline if last else b"")
    path.write_bytes(content)
    assert [row.id for row in read_rows(path, Example)] == ["e0", "e1", "e2"]
    with JsonlFile(path, Example) as file:
        file.append(example(3))
    assert path.read_bytes().startswith(content)
    assert [row.id for row in read_rows(path, Example)] == ["e0", "e1", "e2", "e3"]


@pytest.mark.parametrize("name", ["e.jsonl.gz", "e.jsonl"])
def test_compressed_files_are_read_whatever_their_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(f"\ufeff{ROW}\r\n{ROW}".encode(), mtime=0))
    assert list(read_rows(tmp_path / name, Example)) == [example(0)] * 2


def test_a_compressed_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl.gz"
    path.write_bytes(gzip.compress(os.urandom(5000).hex().encode(), mtime=0)[:-100])
    with pytest.raises(CorruptFile) as caught:
        list(read_rows(path, Example))
    assert caught.value.code == "corrupt-gzip"


@pytest.mark.slow
def test_a_compressed_file_that_grows_out_of_proportion_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eef_framework.runs.lines.FREE_BYTES", 1 << 20)
    path = tmp_path / "e.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" * (8 << 20), mtime=0))
    with pytest.raises(CorruptFile) as caught:
        list(read_rows(path, Example))
    assert caught.value.code == "decompression-bomb"


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eef_framework.runs.lines.MAX_LINE", 1000)
    path = tmp_path / "e.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 2000, mtime=0))
    with pytest.raises(CorruptFile) as caught:
        list(read_rows(path, Example))
    assert (caught.value.code, caught.value.details["line"]) == ("line-too-long", 1)


def test_a_compressed_output_is_refused(tmp_path: Path) -> None:
    for write in (lambda path: write_rows(path, [example(0)]), lambda path: JsonlFile(path, Example)):
        with pytest.raises(ConfigError) as caught:
            write(tmp_path / "new.jsonl.gz")
        assert caught.value.code == "compressed-output"
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_line_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_rows(path, [example(0), example(1), example(2)])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + '{"id": 7}\n' + lines[2])
    with pytest.raises(CorruptFile) as caught:
        list(read_rows(path, Example))
    assert caught.value.code == "corrupt-row"
    assert caught.value.details == {"path": str(path), "line": 2, "torn": False}
    assert "eef repair" in caught.value.fix


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        list(read_rows(tmp_path / "none.jsonl", Example))
    assert caught.value.code == "no-such-file"


def test_devices_and_folders_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", Path(os.devnull)):
        for write in (lambda path: write_rows(path, [example(0)]), lambda path: JsonlFile(path, Example)):
            with pytest.raises(StorageError) as caught:
                write(path)
            assert caught.value.code == "not-a-file"


def test_a_link_is_followed_and_the_mode_is_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "e.jsonl", tmp_path / "link.jsonl"
    write_rows(path, [example(0)])
    path.chmod(0o640)
    link.symlink_to(path)
    write_rows(link, [example(1)])
    with JsonlFile(link, Example) as file:
        file.append(example(2))
        file.rewrite(file.rows[::-1])
    assert link.is_symlink()
    assert [row.id for row in read_rows(path, Example)] == ["e2", "e1"]
    assert path.stat().st_mode & 0o777 == 0o640


HOLD = """
import sys
from pathlib import Path
from eef_framework.records import Example
from eef_framework.runs import JsonlFile
with JsonlFile(Path(sys.argv[1]), Example):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_two_processes_never_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_rows(path, [example(0)])
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(RunConflict) as caught:
            JsonlFile(path, Example)
        assert caught.value.code == "in-use"
    finally:
        other.communicate()
    JsonlFile(path, Example).close()


FULL = """
import resource, signal, sys
from pathlib import Path
from eef_framework.errors import StorageError
from eef_framework.records import Example, Message
from eef_framework.runs import JsonlFile, write_rows, write_text
TURNS = (Message(role="user", content="a room"), Message(role="assistant", content="go"))
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with JsonlFile(path, Example) as file:
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, resource.RLIM_INFINITY))
    long = Example(id="x" * 500, messages=TURNS)
    for write in (
        lambda: file.append(long),
        lambda: file.rewrite([long] * 9),
        lambda: write_rows(path, [long] * 9),
        lambda: write_text(path.with_name("stage.json"), "x" * 5000),
        lambda: write_text(path.with_name("new.json"), "x" * 5000),
    ):
        try:
            write()
            print("written")
        except StorageError as error:
            print(error.code)
    print([row.id for row in file.rows])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    file.append(Example(id="e1", messages=TURNS))
"""


def test_a_full_disk_loses_nothing_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE, "stands in for a full disk: the write that goes beyond it fails halfway"
    path = tmp_path / "e.jsonl"
    write_rows(path, [example(0)])
    (tmp_path / "stage.json").write_text(json.dumps({"old": True}))
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["disk-full"] * 5 + ["['e0']"]
    assert [row.id for row in read_rows(path, Example)] == ["e0", "e1"]
    assert (tmp_path / "stage.json").read_text() == json.dumps({"old": True})
    assert {entry.name for entry in tmp_path.iterdir()} == {"e.jsonl", "stage.json", ".e.jsonl.lock"}


def test_what_a_killed_process_left_of_a_file_is_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".e.jsonl.{dead.pid}.eef-tmp").write_text("half")
    (tmp_path / ".e.jsonl.mine.tmp").write_text("a stranger's")
    write_rows(tmp_path / "e.jsonl", [example(0)])
    assert {entry.name for entry in tmp_path.iterdir()} == {"e.jsonl", ".e.jsonl.mine.tmp"}
