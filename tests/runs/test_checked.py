from pathlib import Path

import pytest
import yaml

from eef_framework.errors import ConfigError, CorruptFile, RunConflict
from eef_framework.records import Attribution
from eef_framework.runs.checked import content_id, open_checked, settings_file

ROW = Attribution(trajectory="expert/a", length=1)


def fill(path: Path, settings: dict) -> None:
    with open_checked(path, Attribution, settings) as rows:
        rows.append(ROW)


def test_a_file_goes_on_with_the_settings_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    fill(path, {"seed": 1, "environment": {"name": "shop"}})
    with open_checked(path, Attribution, {"seed": 1, "environment": {"name": "shop"}}) as rows:
        assert rows.rows == [ROW]


def test_rows_made_with_other_settings_are_refused_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1, "environment": {"name": "shop"}})
    with pytest.raises(RunConflict) as caught:
        open_checked(path, Attribution, {"seed": 1, "environment": {"name": "lab"}})
    assert caught.value.code == "other-settings"
    assert caught.value.details["changes"] == ["environment.name: 'shop' -> 'lab'"]
    fill(path, {"seed": 1, "environment": {"name": "shop"}})
    assert len(path.read_text().splitlines()) == 2


def test_deleting_the_file_is_enough_to_start_afresh(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1})
    path.unlink()
    fill(path, {"seed": 2})
    with pytest.raises(RunConflict) as caught:
        open_checked(path, Attribution, {"seed": 1})
    assert caught.value.details["changes"] == ["seed: 2 -> 1"]


def test_a_file_that_came_without_its_settings_is_taken_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1})
    settings_file(path).unlink()
    with open_checked(path, Attribution, {"seed": 2}) as rows:
        assert rows.rows == [ROW]
    assert yaml.safe_load(settings_file(path).read_text()) == {"seed": 2}


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"{", b"a: [", b"seed", b"seed: 1\nmine: true\n"])
def test_settings_that_do_not_read_or_are_somebody_elses_are_told_and_stay(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1})
    settings_file(path).write_bytes(damage)
    with pytest.raises(CorruptFile) as caught:
        open_checked(path, Attribution, {"seed": 1})
    assert (caught.value.code, caught.value.details["path"]) == ("corrupt-settings", str(settings_file(path)))
    assert settings_file(path).read_bytes() == damage


def test_settings_lie_beside_their_own_file_and_touch_no_others(tmp_path: Path) -> None:
    (tmp_path / "data.settings.yaml").write_text("mine: true\n")
    fill(tmp_path / "data.jsonl", {"seed": 1})
    fill(tmp_path / "data.other.jsonl", {"seed": 2})
    assert (tmp_path / "data.settings.yaml").read_text() == "mine: true\n"
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {"data.settings.yaml"} | {
        f"{name}{end}" for name in ("data.jsonl", "data.other.jsonl") for end in ("", ".settings.yaml")
    }


def test_settings_under_their_former_name_still_count(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1, "environment": "shop"})
    settings_file(path).rename(tmp_path / "rows.settings.yaml")
    with pytest.raises(RunConflict) as caught:
        open_checked(path, Attribution, {"seed": 2, "environment": "shop"})
    assert caught.value.code == "other-settings"


def test_a_file_that_is_read_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    fill(path, {"seed": 1})
    link, hard = tmp_path / "link.jsonl", tmp_path / "hard.jsonl"
    link.symlink_to(path)
    hard.hardlink_to(path)
    before = path.read_bytes()
    for out in (path, link, hard):
        for settings, inputs in (({"seed": 1}, [path]), ({"seed": 1, "expert": {"file": str(path)}}, [])):
            with pytest.raises(ConfigError) as caught:
                open_checked(out, Attribution, settings, *inputs)
            assert caught.value.code == "output-is-input"
    assert path.read_bytes() == before


def test_a_model_that_was_trained_further_has_another_name(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "training").mkdir(parents=True)
    (model / "weights").write_bytes(b"1")
    before = content_id(model)
    (model / "training" / "events").write_bytes(b"a log isn't part of the model")
    assert content_id(model) == before
    assert before is not None
    assert before.startswith("model (")
    (model / "weights").write_bytes(b"2")
    assert content_id(model) != before


def test_a_model_on_a_hub_goes_by_its_name() -> None:
    assert content_id(Path("someone/model")) == "someone/model"
    assert content_id(None) is None


def test_a_file_that_gets_no_row_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "rows.jsonl"
    with open_checked(path, Attribution, {"seed": 1}):
        assert path.parent.exists()
    assert list(tmp_path.iterdir()) == []
    fill(path, {"seed": 1})
    assert settings_file(path).exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "there" / "rows.jsonl"
    path.parent.mkdir()
    open_checked(path, Attribution, {"seed": 1}).close()
    assert list(tmp_path.rglob("*")) == [path.parent]


def test_a_model_is_the_same_with_and_without_the_record_of_its_training(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"1")
    before = content_id(tmp_path)
    (tmp_path / "training.settings.yaml").write_text("result: {seconds: 1.0}")
    assert content_id(tmp_path) == before
    (tmp_path / "weights").write_bytes(b"2")
    assert content_id(tmp_path) != before
