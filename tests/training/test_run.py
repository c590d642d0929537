import json

import pytest

from eef_framework.errors import NothingToTrain, TrainerFailure
from eef_framework.interfaces import Trainer
from eef_framework.records import Checkpoint, Example, Message, TrainResult
from eef_framework.training.run import run_trainer


def run(tmp_path, train, name="", weight=1.0):
    """Run a trainer with this method in an output folder."""

    class Custom(Trainer):
        name = "custom"

        def train(self, examples, start, output, seed, progress):
            return train(output, progress)

    start = Checkpoint(path=tmp_path / "start")
    example = Example(
        id="e", messages=(Message(role="user", content="a"), Message(role="assistant", content="b", weight=weight))
    )
    return run_trainer(Custom(), [example], start, tmp_path / "out", 0, lambda *_: None, name)


def write_weights(output):
    (output / "weights").write_text("1")


def test_the_framework_fills_in_what_it_knows(tmp_path):
    def train(output, progress):
        write_weights(output)
        progress(1, 3, "")
        progress(3, 3, "")
        return TrainResult()

    result = run(tmp_path, train, "clone")
    assert result.checkpoint == Checkpoint(path=tmp_path / "out", name="clone")
    assert (result.steps, result.trained_tokens, result.losses, result.final_loss) == (3, 0, (), None)
    assert result.seconds > 0
    assert not (tmp_path / "out/training.jsonl").exists()


def test_what_a_trainer_reports_is_kept(tmp_path):
    def train(output, progress):
        write_weights(output)
        return TrainResult(checkpoint=Checkpoint(path=output, name="own"), steps=7, trained_tokens=99, seconds=1e9)

    result = run(tmp_path, train, "clone")
    assert (result.checkpoint.name, result.steps, result.trained_tokens) == ("own", 7, 99)
    assert result.seconds < 1e9


def test_losses_are_logged_unless_the_trainer_wrote_a_log(tmp_path):
    def train(output, progress):
        write_weights(output)
        return TrainResult(losses=(2.0, 1.5))

    def train_with_log(output, progress):
        (output / "training.jsonl").write_text('{"step": 1, "loss": 3.0, "lr": 0.1}\n')
        return TrainResult(losses=(3.0,))

    assert run(tmp_path, train).final_loss == 1.5
    log = tmp_path / "out/training.jsonl"
    assert [json.loads(row) for row in log.read_text().splitlines()] == [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": 1.5},
    ]
    run(tmp_path, train_with_log)
    assert json.loads(log.read_text()) == {"step": 1, "loss": 3.0, "lr": 0.1}


def test_the_log_of_an_earlier_training_is_replaced(tmp_path):
    def train(loss):
        def train(output, progress):
            output.mkdir(exist_ok=True)
            (output / "weights").write_text("1")
            return TrainResult(losses=(loss,))

        return train

    for loss in (2.0, 1.0):
        run(tmp_path, train(loss))
    assert json.loads((tmp_path / "out/training.jsonl").read_text()) == {"step": 1, "loss": 1.0}


@pytest.mark.parametrize("result", [None, Checkpoint(path="somewhere"), ("a", "b")])
def test_another_type_of_result_is_an_error(tmp_path, result):
    def train(output, progress):
        write_weights(output)
        return result

    with pytest.raises(TrainerFailure) as caught:
        run(tmp_path, train)
    assert (caught.value.code, caught.value.details) == ("not-a-train-result", {"trainer": "custom"})


@pytest.mark.parametrize("written", ["nothing", "another folder"])
def test_an_output_without_a_checkpoint_is_an_error(tmp_path, written):
    def train(output, progress):
        if written == "another folder":
            write_weights(output)
            return TrainResult(checkpoint=Checkpoint(path=output / "checkpoint-3"))
        return TrainResult()

    with pytest.raises(TrainerFailure) as caught:
        run(tmp_path, train)
    assert caught.value.code == "no-checkpoint"
    assert caught.value.details["output"] == str(tmp_path / "out")


def test_an_exception_names_the_trainer_and_its_line(tmp_path):
    def train(output, progress):
        raise KeyError("gpu")

    with pytest.raises(TrainerFailure) as caught:
        run(tmp_path, train)
    assert caught.value.code == "trainer-failed"
    assert __file__ in caught.value.details["where"]


def test_a_trainer_is_never_called_without_a_turn_that_has_a_weight(tmp_path):
    called = []
    with pytest.raises(NothingToTrain) as caught:
        run(tmp_path, lambda output, progress: called.append(output), weight=0.0)
    assert caught.value.details == {"examples": 1}
    assert called == []


def test_progress_bars_of_transformers_are_hidden_from_any_trainer(tmp_path):
    from transformers.utils import logging

    seen = []

    def train(output, progress):
        write_weights(output)
        seen.append(logging.is_progress_bar_enabled())
        return TrainResult()

    logging.enable_progress_bar()
    run(tmp_path, train)
    assert (seen, logging.is_progress_bar_enabled()) == ([False], True)
