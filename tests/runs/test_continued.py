from pathlib import Path

import pytest

from eef_framework.errors import CorruptFile, RunConflict
from eef_framework.records import Attribution
from eef_framework.runs.continued import continued, named, settings_file

ROW = Attribution(trajectory="expert/a", length=1)


def fill(path: Path, settings: dict) -> None:
    with continued(path, Attribution, settings) as rows:
        rows.append(ROW)


def test_a_file_goes_on_with_the_settings_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    fill(path, {"seed": 1, "environment": {"name": "shop"}})
    with continued(path, Attribution, {"seed": 1, "environment": {"name": "shop"}}) as rows:
        assert rows.rows == [ROW]


def test_rows_made_with_other_settings_are_refused_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1, "environment": {"name": "shop"}})
    with pytest.raises(RunConflict, match=r"environment\.name: 'shop' -> 'lab'") as caught:
        continued(path, Attribution, {"seed": 1, "environment": {"name": "lab"}})
    assert "Choose another --out" in str(caught.value)
    fill(path, {"seed": 1, "environment": {"name": "shop"}})
    assert len(path.read_text().splitlines()) == 2


def test_deleting_the_file_is_enough_to_start_afresh(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1})
    path.unlink()
    fill(path, {"seed": 2})
    with pytest.raises(RunConflict, match="seed: 2 -> 1"):
        continued(path, Attribution, {"seed": 1})


def test_a_file_that_came_without_its_settings_is_taken_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1})
    settings_file(path).unlink()
    with continued(path, Attribution, {"seed": 2}) as rows:
        assert rows.rows == [ROW]
    assert settings_file(path).read_text() == "seed: 2\n"


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"{", b"a: [", b"seed"])
def test_settings_that_do_not_read_are_told(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1})
    settings_file(path).write_bytes(damage)
    with pytest.raises(CorruptFile, match=r"rows\.settings\.yaml"):
        continued(path, Attribution, {"seed": 1})


def test_a_model_that_was_trained_further_has_another_name(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "training").mkdir(parents=True)
    (model / "weights").write_bytes(b"1")
    before = named(model)
    (model / "training" / "events").write_bytes(b"a log is no part of the model")
    assert named(model) == before
    assert before is not None
    assert before.startswith("model (")
    (model / "weights").write_bytes(b"2")
    assert named(model) != before


def test_a_model_on_a_hub_goes_by_its_name() -> None:
    assert named(Path("someone/model")) == "someone/model"
    assert named(None) is None
