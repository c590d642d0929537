from pathlib import Path

import pytest

from eef_framework.errors import CorruptFile, RunConflict
from eef_framework.records import TrainResult
from eef_framework.runs.settings_files import Leeway
from eef_framework.runs.training_record import TrainingRecord

SETTINGS = {"seed": 1, "trainer": {"name": "sft", "steps": 6}}
OTHER = {**SETTINGS, "seed": 2}


def saved_state(folder: Path) -> None:
    (folder / "interrupted" / "3").mkdir(parents=True)
    (folder / "training.jsonl").write_text("{}\n")


def weights(folder: Path) -> None:
    (folder / "model.safetensors").write_text("weights")


def test_a_finished_training_has_its_result(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path, SETTINGS)
    assert record.begin() is None
    weights(tmp_path)
    record.finish(TrainResult(steps=3, trained_tokens=5, losses=(2.0, 1.0), seconds=1.5))
    result = record.begin()
    assert result is not None
    assert (result.steps, result.trained_tokens, result.final_loss, result.seconds) == (3, 5, 1.0, 1.5)


@pytest.mark.parametrize("left", [saved_state, weights])
def test_an_interrupted_training_is_continued_with_its_own_settings_only(tmp_path: Path, left) -> None:
    assert TrainingRecord(tmp_path, SETTINGS).begin() is None
    left(tmp_path)
    assert TrainingRecord(tmp_path, SETTINGS).begin() is None
    with pytest.raises(RunConflict) as refused:
        TrainingRecord(tmp_path, OTHER).begin()
    assert (refused.value.code, refused.value.details["changes"]) == ("other-settings", ["seed: 1 -> 2"])
    assert TrainingRecord(tmp_path, SETTINGS).begin() is None


def test_a_training_that_left_nothing_is_replaced(tmp_path: Path) -> None:
    assert TrainingRecord(tmp_path, SETTINGS).begin() is None
    (tmp_path / "training.jsonl").write_text("{}\n")
    (tmp_path / ".eef-framework").touch()
    assert TrainingRecord(tmp_path, OTHER).begin() is None


def test_deleting_the_weights_is_enough_to_train_again(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path, SETTINGS)
    record.begin()
    record.finish(TrainResult())
    assert record.begin() is None


def test_a_training_that_an_earlier_version_left_unfinished_is_resumed(tmp_path: Path) -> None:
    saved_state(tmp_path)
    assert TrainingRecord(tmp_path, SETTINGS).begin() is None


def test_a_model_without_a_record_is_not_replaced_even_beside_a_saved_state(tmp_path: Path) -> None:
    weights(tmp_path)
    saved_state(tmp_path)
    with pytest.raises(RunConflict) as refused:
        TrainingRecord(tmp_path, SETTINGS).begin()
    assert (refused.value.code, refused.value.details["found"]) == (
        "not-recorded",
        ["interrupted", "model.safetensors"],
    )


def test_settings_that_may_differ_are_named_without_their_section(tmp_path: Path) -> None:
    TrainingRecord(tmp_path, SETTINGS).begin()
    saved_state(tmp_path)
    other = {"seed": 1, "trainer": {"name": "sft", "updates": 7, "new": 0}}
    leeway = Leeway({"tune.trainer.steps": "tune.trainer.updates"}, {"tune.trainer.updates"}, {"tune.trainer.new": 0})
    assert TrainingRecord(tmp_path, other, leeway.within("tune")).begin() is None


def test_a_damaged_result_is_told(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path, SETTINGS)
    record.begin()
    weights(tmp_path)
    record.path.write_text(record.path.read_text() + "result: none\n")
    with pytest.raises(CorruptFile) as refused:
        record.begin()
    assert (refused.value.code, refused.value.details["path"]) == ("corrupt-settings", str(record.path))
