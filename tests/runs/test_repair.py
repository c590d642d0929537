import gzip
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from eef_framework.errors import EefError, RunConflict
from eef_framework.records import Attribution, Example, Message, Trajectory
from eef_framework.records.base import VersionedRecord
from eef_framework.runs import JsonlFile, RunDirectory, read_rows, repair, write_rows
from eef_framework.testing.strategies import attributions, examples, trajectories

ROWS = st.one_of(
    st.tuples(st.just(Trajectory), st.lists(trajectories(max_steps=2), min_size=1, max_size=3)),
    st.tuples(st.just(Attribution), st.lists(attributions(max_length=3), min_size=1, max_size=3)),
    st.tuples(st.just(Example), st.lists(examples(), min_size=1, max_size=3)),
)


TALK = (Message(role="user", content="q"), Message(role="assistant", content="a", weight=1.0))


def example(number: int) -> Example:
    return Example(id=f"e{number}", messages=TALK)


def line(number: int) -> bytes:
    return example(number).model_dump_json().encode()


@given(ROWS, st.integers(0), st.sampled_from([b"\n", b"\r\n"]), st.sampled_from([b"", b"\xef\xbb\xbf"]), st.booleans())
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_no_complete_row_of_a_file_that_was_cut_anywhere_is_ever_lost(
    tmp_path_factory: pytest.TempPathFactory,
    written: tuple[type[VersionedRecord], list[VersionedRecord]],
    cut: int,
    newline: bytes,
    mark: bytes,
    first_repaired: bool,
) -> None:
    record, rows = written
    path = tmp_path_factory.mktemp("cut") / "file.jsonl"
    data = mark + b"".join(row.model_dump_json().encode() + newline for row in rows)
    data = data[: cut % (len(data) + 1)]
    path.write_bytes(data)
    whole, kept = [], len(mark)  # rows that are there in full, and where they end
    for row in rows:
        if not data[kept:].startswith(row.model_dump_json().encode()):
            break
        whole.append(row)
        kept += len(row.model_dump_json().encode()) + len(newline)
    kept = kept if whole else 0
    if first_repaired:
        try:
            assert repair(path).good == len(whole) > 0
        except EefError:
            assert not whole
    try:
        with JsonlFile(path, record) as file:
            assert file.rows == whole
            file.append(rows[0])
    except EefError:
        assert not whole, "only a file without a row of ours may be refused"
        assert path.read_bytes() == data
        return
    assert list(read_rows(path, record)) == [*whole, rows[0]]
    # Every byte is in the file or beside it.
    beside = b"".join(other.read_bytes() for other in sorted(path.parent.glob("*.bad*")))
    assert path.read_bytes().startswith(data[:kept])
    assert beside == data[kept:] or path.read_bytes().startswith(data)


FOREIGN = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
    st.text(max_size=80).map(lambda text: text.encode("utf-16", "replace")),
    st.sampled_from([b"{", b"[]", b'{"version":1', b'{"version":1,"ID":', b"\0" * 9, b"\n\n", b"\xef\xbb\xbfnotes"]),
    st.binary(max_size=100).map(gzip.compress),
    st.binary(max_size=30).map(lambda tail: line(0) + b"\nnotes " + tail),
    st.just(gzip.compress(line(0), mtime=0)),
    st.just((line(0) + b"\n").decode().encode("utf-16")),
)


@given(FOREIGN)
@settings(max_examples=100, deadline=None)
def test_no_byte_of_a_foreign_file_ever_changes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("foreign") / "file.jsonl"
    path.write_bytes(content)
    if not content.strip():  # blank lines only: nothing in the file can be lost, even if it isn't ours
        return
    for attempt in (lambda: JsonlFile(path, Example), lambda: write_rows(path, [example(1)])):
        with pytest.raises(EefError):
            attempt()
        assert path.read_bytes() == content
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    try:
        done = repair(path)
    except EefError:
        assert path.read_bytes() == content
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    else:
        assert done.good
        assert done.aside is not None
        assert sorted(path.read_bytes() + done.aside.read_bytes()) == sorted(content)


def test_bad_lines_are_set_aside_as_they_are_and_never_over_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    bad = (b"nonsense\xff\xfe\r\n", b"\x00\x01\n", b"half a line")
    for number, piece in enumerate(bad):
        path.write_bytes(line(0) + b"\r\n\n" + piece + (line(1) if piece.endswith(b"\n") else b""))
        done = repair(path)
        aside = tmp_path / ("e.jsonl.bad" if not number else f"e.jsonl.bad.{number}")
        assert (done.bad, done.aside) == (1, aside)
        assert aside.read_bytes() == piece
        assert path.read_bytes() == line(0) + b"\r\n\n" + (line(1) if piece.endswith(b"\n") else b"")
    assert repair(path).aside is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (gzip.compress(line(0) + b"\n", mtime=0), "compressed-output"),
        (line(0).decode().encode("utf-16"), "foreign-file"),
        (b"notes\n", "foreign-file"),
        (b"PK\x03\x04e.jsonl" + line(0) + b"\n" + line(1) + b"\n", "foreign-file"),  # an archive that isn't compressed
        (b"", "foreign-file"),
        (line(0) + b"\n" + line(1).replace(b":1,", b":99,") + b"\n", "newer-format"),
        (line(0) + b"\n" + Attribution(trajectory="t", length=1).model_dump_json().encode(), "mixed-kinds"),
    ],
)
def test_what_would_be_emptied_or_mixed_up_is_not_repaired(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(content)
    with pytest.raises(EefError) as caught:
        repair(path)
    assert caught.value.code == code
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "like"),
    [
        (line(0).decode().encode("utf-32"), "text in UTF-32"),
        (line(0).decode().encode("utf-16"), "text in UTF-16"),
        (line(0) + b"\r" + line(1) + b"\r", "text whose lines end with a carriage return alone"),
    ],
)
def test_what_has_to_be_converted_is_named(tmp_path: Path, content: bytes, like: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(content)
    with pytest.raises(EefError) as caught:
        repair(path)
    assert caught.value.details["looks_like"] == like


def test_a_run_that_is_being_written_is_not_repaired(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare({"seed": 1}, {})
    path = tmp_path / "run" / "collect" / "trajectories.jsonl"
    write_rows(path, [example(0)])
    import filelock

    with filelock.FileLock(tmp_path / "run" / ".lock"), pytest.raises(RunConflict) as caught:
        repair(path)
    assert caught.value.code == "in-use"
