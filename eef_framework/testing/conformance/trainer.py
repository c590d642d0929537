"""Checks of trainers."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eef_framework.errors import TrainerFailure
from eef_framework.interfaces import TrainablePolicy, Trainer
from eef_framework.interfaces.trainer import ProgressCallback
from eef_framework.records import Checkpoint, Example
from eef_framework.runs.file_names import TRAINING_LOG
from eef_framework.testing.conformance.examples import conversations, episodes, examples
from eef_framework.testing.conformance.prompts import ask, prompts
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks
from eef_framework.training.run import run_trainer

Report = tuple[int, int, str]
"""Arguments of a call of `progress`."""


class Interrupted(BaseException):
    """Interrupts a training. As a BaseException, it isn't caught by `except Exception`."""


@dataclass(frozen=True)
class TrainerContext:
    """Input of the checks of a trainer.

    Attributes:
        trainer: the trainer under test.
        policy: the policy to train, not loaded.
        folder: for checkpoints.
        seed: of the initial checkpoint and of the training.
    """

    trainer: Trainer
    policy: TrainablePolicy
    folder: Path
    seed: int = 0
    reported: list[Report] = field(default_factory=list)

    @cached_property
    def start(self) -> Checkpoint:
        """The initial checkpoint."""
        return self.policy.initial_checkpoint(conversations(), self.folder / "initial", self.seed)

    @cached_property
    def trained(self) -> Checkpoint:
        """The checkpoint of a training, whose calls of `progress` are in `reported`."""
        return self.train("first", examples(), self._listen)

    def train(self, name: str, given: Sequence[Example], progress: ProgressCallback = lambda *_: None) -> Checkpoint:
        """Train, and write to the folder with this name."""
        output = self.folder / name
        try:
            run_trainer(self.trainer, given, self.start, output, self.seed, progress)
        except TrainerFailure as failure:
            if failure.__cause__ is None:
                raise
            raise failure.__cause__ from None  # reported with the line that raised it
        return Checkpoint(path=output)

    def weights(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Return a hash of each file with weights: the safetensors files, or else all files except logs."""
        files = sorted(path for path in checkpoint.path.rglob("*") if path.is_file())
        tensors = [path for path in files if path.suffix == ".safetensors"]
        weights = tensors or [path for path in files if path.suffix != ".jsonl"]
        return {str(path.relative_to(checkpoint.path)): _hash(path) for path in weights}

    def _listen(self, done: int, total: int, text: str) -> None:
        self.reported.append((done, total, text))


def check_trainer(trainer: Trainer, policy: TrainablePolicy, seed: int = 0) -> None:
    """Check that a trainer keeps its contract. It takes about a dozen short trainings.

    Args:
        trainer: the component to check, with settings for short trainings.
        policy: the policy to train, preferably a tiny one. It makes the initial checkpoint.
        seed: of the initial checkpoint and of the trainings.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
    """
    require(f"trainer {trainer.component_name()!r}", trainer_violations(trainer, policy, seed))


def trainer_violations(trainer: Trainer, policy: TrainablePolicy, seed: int = 0) -> list[Violation]:
    """Return the violations of a trainer's contract; see `check_trainer`."""
    with tempfile.TemporaryDirectory() as folder:
        context = TrainerContext(trainer, policy, Path(folder), seed)
        violations = run_checks([checkpoints_appear_in_the_output], context)
        return violations or run_checks(CHECKS, context)


def checkpoints_appear_in_the_output(context: TrainerContext) -> Violation | None:
    """train() writes a checkpoint to its output folder, and returns a TrainResult."""
    rule, expected = rule_of(checkpoints_appear_in_the_output), "a TrainResult, and files with weights in the output"
    try:
        checkpoint = context.trained
    except TrainerFailure as failure:
        return Violation(rule, "", expected, failure.message, failure.fix)
    if context.weights(checkpoint):
        return None
    return Violation(rule, "", expected, "no file with weights", "Write the model to `output`.")


def checkpoints_can_be_loaded(context: TrainerContext) -> Violation | None:
    """The policy can load the checkpoint and answer."""
    with context.policy.load(context.trained) as policy:
        ask(policy, prompts(context.seed))
    return None


def trainings_are_logged(context: TrainerContext) -> Violation | None:
    """The log of a training, training.jsonl, has a JSON object on each line, if there is one."""
    path = context.trained.path / TRAINING_LOG
    rows = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    bad = next((row for row in rows if not _is_object(row)), None)
    if bad is None:
        return None
    fix = "Return TrainResult(losses=...), or write json.dumps({'step': ..., 'loss': ...}) for each step."
    actual = f"the line {quoted(bad)}"
    return Violation(rule_of(trainings_are_logged), TRAINING_LOG, "a JSON object on each line", actual, fix)


def progress_is_reported(context: TrainerContext) -> Violation | None:
    """train() reports its progress, which never decreases."""
    context.trained  # noqa: B018 - trains, once
    done = [each[0] for each in context.reported]
    if context.reported and done == sorted(done) and all(0 <= each[0] <= each[1] for each in context.reported):
        return None
    return Violation(
        rule_of(progress_is_reported),
        "",
        "progress(done, total, text) with done rising up to total",
        quoted(context.reported) if context.reported else "it was never called",
        "Call progress(step, steps, f'loss {loss:.4f}') after each step.",
    )


def the_start_stays_as_it_is(context: TrainerContext) -> Violation | None:
    """train() doesn't change the initial checkpoint."""
    before = {path: _hash(path) for path in sorted(context.start.path.rglob("*")) if path.is_file()}
    context.train("from the same start", examples())
    after = {path: _hash(path) for path in sorted(context.start.path.rglob("*")) if path.is_file()}
    if after == before:
        return None
    changed = sorted(path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    fix = "Write only to `output`."
    return Violation(rule_of(the_start_stays_as_it_is), "", "no file changed", f"changed: {quoted(changed)}", fix)


def trainings_depend_on_their_arguments(context: TrainerContext) -> Violation | None:
    """The weights depend only on the examples, the initial checkpoint and the seed."""
    again = context.train("again", examples())
    return _compared(
        trainings_depend_on_their_arguments,
        context,
        again,
        "Derive the order of examples and all other randomness from the seed, and use deterministic algorithms.",
    )


def masked_examples_contribute_nothing(context: TrainerContext) -> Violation | None:
    """Examples whose turns have no weight don't change the result."""
    masked = [example.changed(id=f"{example.id}/masked") for example in examples(weight=0.0)]
    among = context.train("among masked ones", [*masked[:4], *examples(), *masked[4:]])
    return _compared(
        masked_examples_contribute_nothing,
        context,
        among,
        "Drop them before making batches, so that they don't affect the order, the loss or the number of steps.",
    )


def masked_turns_contribute_nothing(context: TrainerContext) -> Violation | None:
    """A turn without weight doesn't change the result, if no turn with a weight follows."""
    one, other = (context.train(f"masked turns: {said}", episodes(last=said)) for said in ("go[east]", "go[west]"))
    if context.weights(one) == context.weights(other):
        return None
    return Violation(
        rule_of(masked_turns_contribute_nothing),
        "a last turn of weight 0",
        "equal weights of the model, whatever its text",
        "different ones",
        "Give a turn's tokens the weight of its message in the loss, as TokenizedDataset does.",
    )


def weights_scale_the_loss(context: TrainerContext) -> Violation | None:
    """The larger a turn's weight, the larger its share of the loss."""
    if context.trainer.needs_pairs:
        return None  # preferences are learned from whole turns
    one, other = (context.train(f"weights: {weight}", episodes(first=weight)) for weight in (1.0, 0.125))
    if context.weights(one) != context.weights(other):
        return None
    return Violation(
        rule_of(weights_scale_the_loss),
        "first turns of weight 1.0 or 0.125",
        "different weights of the model",
        "equal ones",
        "Multiply the loss of a turn's tokens by the weight of its message.",
    )


def interrupted_trainings_can_be_repeated(context: TrainerContext) -> Violation | None:
    """An interrupted training, repeated in the same folder, gives the same result as an uninterrupted one."""
    context.trained  # noqa: B018 - records how often progress is reported
    calls = 0

    def interrupt(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls > len(context.reported) // 2:
            raise Interrupted

    with suppress(Interrupted):
        context.train("interrupted", examples(), interrupt)
    repeated = context.train("interrupted", examples())
    return _compared(
        interrupted_trainings_can_be_repeated,
        context,
        repeated,
        "Resume from a complete state, including random generators and optimizer, or start from scratch.",
    )


CHECKS = (
    checkpoints_can_be_loaded,
    trainings_are_logged,
    progress_is_reported,
    the_start_stays_as_it_is,
    trainings_depend_on_their_arguments,
    masked_examples_contribute_nothing,
    masked_turns_contribute_nothing,
    weights_scale_the_loss,
    interrupted_trainings_can_be_repeated,
)


def _compared(rule: Callable[..., object], context: TrainerContext, other: Checkpoint, fix: str) -> Violation | None:
    """Compare the weights of a checkpoint with those of the first training."""
    first, second = context.weights(context.trained), context.weights(other)
    if first == second:
        return None
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    expected = f"equal files {quoted(sorted(first))}"
    return Violation(rule_of(rule), "", expected, f"different: {quoted(differing)}", fix)


def _is_object(row: str) -> bool:
    try:
        return isinstance(json.loads(row), dict)
    except ValueError:
        return False


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
