from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import CorruptFile, StorageError
from eef_framework.records import Example, Trajectory
from eef_framework.runs import RowFile, read_rows, repair, write_rows
from eef_framework.testing.strategies import trajectories


def example(number: int) -> Example:
    return Example(id=f"e{number}", messages=())


@given(st.lists(trajectories(), max_size=4))
def test_rows_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Trajectory]) -> None:
    path = tmp_path_factory.mktemp("rows") / "t.jsonl"
    with RowFile(path, Trajectory) as file:
        for row in rows:
            file.append(row)
    assert list(read_rows(path, Trajectory)) == rows


@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_keeps_every_whole_row_and_can_be_continued(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "e.jsonl"
    write_rows(path, [example(n) for n in range(5)])
    data = path.read_bytes()
    cut %= len(data) + 1
    path.write_bytes(data[:cut])
    whole = data[:cut].count(b"\n")
    with RowFile(path, Example) as file:
        assert [row.id for row in file.rows] == [f"e{n}" for n in range(whole)]
        for n in range(whole, 5):
            file.append(example(n))
    assert path.read_bytes() == data


def test_a_corrupt_line_is_named_with_its_place_and_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    write_rows(path, [example(0), example(1), example(2)])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + '{"id": 7}\n' + lines[2])
    with pytest.raises(
        CorruptFile, match=r"e\.jsonl, line 2 is not a example: .*the line begins '\{\"id\": 7\}'"
    ) as caught:
        list(read_rows(path, Example))
    assert "eef repair" in caught.value.fix


def test_a_corrupt_line_in_the_middle_is_not_taken_for_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("nonsense\n" + example(1).model_dump_json() + "\n")
    with pytest.raises(CorruptFile, match="line 1"):
        RowFile(path, Example)


def test_repair_sets_bad_lines_aside_and_keeps_the_good_ones(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(example(0).model_dump_json() + "\nnonsense\n" + example(1).model_dump_json() + "\n")
    assert repair(path, Example) == (2, 1)
    assert [row.id for row in read_rows(path, Example)] == ["e0", "e1"]
    assert (tmp_path / "e.jsonl.bad").read_text() == "nonsense\n"


def test_rows_of_a_newer_format_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(example(0).model_dump_json().replace('"version":1', '"version":99') + "\n")
    with pytest.raises(CorruptFile, match="upgrade eef-framework"):
        list(read_rows(path, Example))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        list(read_rows(tmp_path / "none.jsonl", Example))


def test_a_full_disk_keeps_the_rows_before(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "e.jsonl").symlink_to(full)
    file = RowFile.__new__(RowFile)
    file.path, file.record, file.rows = tmp_path / "e.jsonl", Example, [example(0)]
    file._file = (tmp_path / "e.jsonl").open("ab", buffering=0)
    with file, pytest.raises(StorageError, match="No space left"):
        file.append(example(1))
    assert [row.id for row in file.rows] == ["e0"]
