"""Each rule is tested against a trainer that breaks it in a line or two, with the report it gets."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eef_framework.errors import NothingToTrain
from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.transformers_policy import TransformersPolicy
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.testing.conformance import Nonconformance, check_trainer, trainer_violations
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer, write_table
from eef_framework.training import DpoTrainer, SftTrainer

counter = itertools.count()


def report(trainer: LookupTrainer) -> str:
    return "\n".join(map(str, trainer_violations(trainer, LookupPolicy())))


def changed(change: Any) -> LookupTrainer:
    """Return a trainer that does something else besides: `change(result, start, output)`."""

    class Changed(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            return change(super().train(examples, start, output, seed, progress), start, output)

    return Changed()


def test_the_double_keeps_its_contract():
    check_trainer(LookupTrainer(), LookupPolicy())


@pytest.mark.parametrize("save_every_s", [0.0, None])
def test_supervised_fine_tuning_keeps_its_contract(save_every_s):
    trainer = SftTrainer(steps=4, batch_size=4, learning_rate=1e-3, save_every_s=save_every_s)
    check_trainer(trainer, TransformersPolicy(tiny=TinyModel(hidden=32, layers=1, heads=2, feed_forward=32)))


@pytest.mark.slow
def test_preference_training_keeps_its_contract():
    trainer = DpoTrainer(steps=2, batch_size=4, learning_rate=1e-3, warmup=0)
    check_trainer(trainer, TransformersPolicy(tiny=TinyModel(hidden=32, layers=1, heads=2, feed_forward=32)))


@pytest.mark.parametrize(
    ("change", "actual"),
    [
        (lambda result, start, output: None, "trainer 'lookup' returned None from train, not a TrainResult"),
        (lambda result, start, output: result.changed(checkpoint=start), "trainer 'lookup' left no checkpoint in "),
    ],
)
def test_a_result_that_is_none_is_told(change, actual):
    text = report(changed(change))
    assert text.startswith("A training writes a checkpoint to its output folder, and returns a TrainResult\n")
    assert f"  actual:   {actual}" in text


def test_the_shortest_result_is_enough():
    check_trainer(changed(lambda result, start, output: TrainResult()), LookupPolicy())


def test_a_checkpoint_without_weights_is_told():
    def empty(result, start, output):
        (output / "lookup.json").unlink()
        (output / "training.jsonl").touch()
        return result

    assert "  actual:   no file with weights\n" in report(changed(empty))


def test_a_checkpoint_that_can_not_be_loaded_is_told():
    def torn(result, start, output):
        (output / "lookup.json").write_text("{")
        return result

    assert "The policy answers with the checkpoint (" in report(changed(torn))


def test_a_log_that_is_none_is_told():
    def write(result, start, output):
        (output / "training.jsonl").write_text("step 1\n")
        return result

    assert (
        "The log of a training, training.jsonl, is a JSON object per line, if there is one (training.jsonl)\n"
        "  expected: a JSON object per line\n  actual:   the line 'step 1'\n"
    ) in report(changed(write))


@pytest.mark.parametrize(
    ("calls", "actual"), [([], "it was never called"), ([(2, 2, ""), (1, 2, "")], "[(2, 2, ''), (1, 2, '')]")]
)
def test_progress_that_is_none_is_told(calls, actual):
    class Silent(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            for call in calls:
                progress(*call)
            return super().train(examples, start, output, seed, lambda *_: None)

    assert "A training says how far it is, and never goes back\n" in report(Silent())
    assert f"  actual:   {actual}\n" in report(Silent())


def test_a_start_that_is_changed_is_told():
    def careless(result, start, output):
        (start.path / "optimizer.json").write_text(str(next(counter)))
        return result

    assert (
        "The checkpoint that training starts from stays as it is\n"
        "  expected: no file changed\n  actual:   changed: ['optimizer.json']\n"
    ) in report(changed(careless))


def test_weights_that_do_not_come_from_the_arguments_are_told():
    def moody(result, start, output):
        write_table({"mood": {str(next(counter)): 1.0}}, output)
        return result

    text = report(changed(moody))
    assert "The same examples, start and seed give the same weights\n  expected: the files ['lookup.json'] as" in text


def test_masked_examples_that_contribute_are_told():
    class Counting(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            result = super().train(examples, start, output, seed, progress)
            write_table({"examples": {str(len(examples)): 1.0}}, output)
            return result

    (violation,) = trainer_violations(Counting(), LookupPolicy())
    assert violation.rule == "Examples without a weight contribute nothing"
    assert violation.actual == "others: ['lookup.json']"


@pytest.mark.parametrize("error", [None, ValueError("no examples")])
def test_nothing_to_train_that_passes_is_told(error):
    class Content(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            try:
                return super().train(examples, start, output, seed, progress)
            except NothingToTrain:
                if error:
                    raise error from None
                write_table({}, output)
                return TrainResult()

    (violation,) = trainer_violations(Content(), LookupPolicy())
    assert violation.rule == "Without a single weight there is nothing to train, which is an error"
    assert violation.expected == "NothingToTrain"
    assert violation.actual.startswith("ValueError: no examples" if error else "Checkpoint(")


class Resuming(LookupTrainer):
    """Writes down how many examples it has learnt, and goes on behind them."""

    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: Any
    ) -> TrainResult:
        state = output / "state.json"
        done = json.loads(state.read_text()) if state.exists() else 0
        output.mkdir(parents=True, exist_ok=True)

        def write_down(*said: Any) -> None:
            state.write_text(json.dumps(said[0]))
            progress(*said)

        result = super().train(examples[done:], start, output, seed, write_down)
        state.unlink()
        return result


def test_a_repetition_that_forgets_what_came_before_the_interruption_is_told():
    (violation,) = trainer_violations(Resuming(), LookupPolicy())
    assert violation.rule == (
        "A training that was interrupted gives, when it is repeated in the same folder, the result of one that wasn't"
    )
    assert "Go on from a state that was written whole" in violation.fix


def test_a_violation_is_raised_with_the_trainers_name():
    with pytest.raises(Nonconformance, match="trainer 'lookup' breaks 1 of the rules"):
        check_trainer(changed(lambda result, *_: None), LookupPolicy())
