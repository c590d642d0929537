"""Each rule is tested against a trainer that breaks it in a line or two."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.transformers_policy import TransformersPolicy
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.testing.conformance import Nonconformance, Violation, check_trainer, trainer_violations
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer
from eef_framework.training import DpoTrainer, SftTrainer

counter = itertools.count()


def violation(code: str, trainer: LookupTrainer) -> Violation:
    """Return the violation with this code."""
    (found,) = (each for each in trainer_violations(trainer, LookupPolicy()) if each.code == code)
    return found


def changed(change: Any) -> LookupTrainer:
    """Return a trainer that does something else besides: `change(result, start, output)`."""

    class Changed(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            return change(super().train(examples, start, output, seed, progress), start, output)

    return Changed()


def test_the_double_keeps_its_contract():
    check_trainer(LookupTrainer(), LookupPolicy())


@pytest.mark.slow
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
        (lambda result, start, output: None, "trainer 'lookup' returned None"),
        (lambda result, start, output: result.changed(checkpoint=start), "trainer 'lookup'"),
    ],
)
def test_a_result_that_is_none_is_reported(change, actual):
    assert violation("checkpoints-appear-in-the-output", changed(change)).actual.startswith(actual)


def test_the_shortest_result_is_enough():
    check_trainer(changed(lambda result, start, output: TrainResult()), LookupPolicy())


def test_a_checkpoint_without_weights_is_reported():
    def empty(result, start, output):
        (output / "checkpoint.json").unlink()
        (output / "training.jsonl").touch()
        return result

    assert "weights" in violation("checkpoints-appear-in-the-output", changed(empty)).actual


def test_a_checkpoint_that_can_not_be_loaded_is_reported():
    def torn(result, start, output):
        (output / "checkpoint.json").write_text("{")
        return result

    assert violation("checkpoints-can-be-loaded", changed(torn))


def test_a_log_that_is_none_is_reported():
    def write(result, start, output):
        (output / "training.jsonl").write_text("step 1\n")
        return result

    assert violation("trainings-are-logged", changed(write)).actual == "the line 'step 1'"


@pytest.mark.parametrize(
    ("calls", "actual"), [([], "it was never called"), ([(2, 2, ""), (1, 2, "")], "[(2, 2, ''), (1, 2, '')]")]
)
def test_progress_that_is_none_is_reported(calls, actual):
    class Silent(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            for call in calls:
                progress(*call)
            return super().train(examples, start, output, seed, lambda *_: None)

    assert violation("progress-is-reported", Silent()).actual == actual


def test_a_start_that_is_changed_is_reported():
    def careless(result, start, output):
        (start.path / "optimizer.json").write_text(str(next(counter)))
        return result

    assert violation("the-start-stays-as-it-is", changed(careless)).actual == "changed: ['optimizer.json']"


def test_weights_that_do_not_come_from_the_arguments_are_reported():
    def moody(result, start, output):
        Checkpoint.of_json(output, {"mood": {str(next(counter)): 1.0}})
        return result

    assert "['checkpoint.json']" in violation("trainings-depend-on-their-arguments", changed(moody)).expected


def test_masked_examples_that_contribute_are_reported():
    class Counting(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            result = super().train(examples, start, output, seed, progress)
            Checkpoint.of_json(output, {"examples": {str(len(examples)): 1.0}})
            return result

    found = violation("masked-examples-contribute-nothing", Counting())
    assert "['checkpoint.json']" in found.actual


def test_turns_that_are_learned_without_a_weight_are_reported():
    class Eager(LookupTrainer):
        """Learns all answers of an example that has a weight."""

        def train(self, examples, start, output, seed, progress):
            def eager(example):
                return example.changed(
                    messages=tuple(
                        message.changed(weight=1.0) if message.role == "assistant" else message
                        for message in example.messages
                    )
                )

            learned = [eager(each) for each in examples if any(message.weight for message in each.messages)]
            return super().train(learned, start, output, seed, progress)

    found = [each.code for each in trainer_violations(Eager(), LookupPolicy())]
    assert found == ["masked-turns-contribute-nothing", "weights-scale-the-loss"]


def test_weights_that_only_switch_turns_on_are_reported():
    class Coarse(LookupTrainer):
        def train(self, examples, start, output, seed, progress):
            def coarse(example):
                messages = tuple(each.changed(weight=float(each.weight > 0)) for each in example.messages)
                return example.changed(messages=messages)

            return super().train([coarse(each) for each in examples], start, output, seed, progress)

    assert [each.code for each in trainer_violations(Coarse(), LookupPolicy())] == ["weights-scale-the-loss"]


class Resuming(LookupTrainer):
    """Saves how many examples it has learned, and continues after them."""

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


def test_a_repetition_that_forgets_what_came_before_the_interruption_is_reported():
    (found,) = trainer_violations(Resuming(), LookupPolicy())
    assert found.code == "interrupted-trainings-can-be-repeated"


def test_a_violation_is_raised_with_the_trainers_name():
    with pytest.raises(Nonconformance, match=r"^trainer 'lookup'") as caught:
        check_trainer(changed(lambda result, *_: None), LookupPolicy())
    assert [found.code for found in caught.value.violations] == ["checkpoints-appear-in-the-output"]
