"""Does a trainer keep its contract?"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eef_framework.errors import NothingToTrain, TrainerFailure
from eef_framework.interfaces import TrainablePolicy, Trainer
from eef_framework.interfaces.trainer import ProgressCallback
from eef_framework.records import Checkpoint, Example
from eef_framework.runs.layout import TRAINING_LOG
from eef_framework.testing.conformance.examples import conversations, examples
from eef_framework.testing.conformance.prompts import ask, prompts
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks
from eef_framework.training.run import run_trainer

Said = tuple[int, int, str]
"""What `progress` was called with."""


class Interrupted(BaseException):
    """What ends a training from outside; no handler of exceptions stops it."""


@dataclass(frozen=True)
class TrainerContext:
    """What the checks of a trainer look at.

    Attributes:
        trainer: the trainer under test.
        policy: whose weights it trains, without weights of its own.
        folder: for checkpoints.
        seed: of the model to start from and of the training.
    """

    trainer: Trainer
    policy: TrainablePolicy
    folder: Path
    seed: int = 0
    said: list[Said] = field(default_factory=list)

    @cached_property
    def start(self) -> Checkpoint:
        """Where training starts."""
        return self.policy.initial_checkpoint(conversations(), self.folder / "initial", self.seed)

    @cached_property
    def trained(self) -> Checkpoint:
        """What a training makes of the examples; `said` is how it went."""
        return self.train("first", examples(), self._listen)

    def train(self, name: str, learnt: Sequence[Example], progress: ProgressCallback = lambda *_: None) -> Checkpoint:
        """Train, and write to a folder of this name."""
        output = self.folder / name
        try:
            run_trainer(self.trainer, learnt, self.start, output, self.seed, progress)
        except TrainerFailure as failure:
            if failure.__cause__ is None:
                raise
            raise failure.__cause__ from None  # reported with the line that raised it
        return Checkpoint(path=output)

    def weights(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Return a hash of every file with weights: those in safetensors, or of all files but logs where none is."""
        files = sorted(path for path in checkpoint.path.rglob("*") if path.is_file())
        tensors = [path for path in files if path.suffix == ".safetensors"]
        weights = tensors or [path for path in files if path.suffix != ".jsonl"]
        return {str(path.relative_to(checkpoint.path)): _hash(path) for path in weights}

    def _listen(self, done: int, total: int, text: str) -> None:
        self.said.append((done, total, text))


def check_trainer(trainer: Trainer, policy: TrainablePolicy, seed: int = 0) -> None:
    """Check that a trainer keeps its contract. It takes about eight short trainings.

    Args:
        trainer: what to check; give it settings with which a few examples are learned quickly.
        policy: whose weights it trains, one of the tiny ones at best; it makes the model to start from.
        seed: of that model and of the trainings.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
    """
    require(f"trainer {trainer.component_name()!r}", trainer_violations(trainer, policy, seed))


def trainer_violations(trainer: Trainer, policy: TrainablePolicy, seed: int = 0) -> list[Violation]:
    """Return in which ways a trainer doesn't keep its contract; see `check_trainer`."""
    with tempfile.TemporaryDirectory() as folder:
        context = TrainerContext(trainer, policy, Path(folder), seed)
        violations = run_checks([checkpoints_appear_in_the_output], context)
        return violations or run_checks(CHECKS, context)


def checkpoints_appear_in_the_output(context: TrainerContext) -> Violation | None:
    """A training writes a checkpoint to its output folder, and returns a TrainResult."""
    rule, expected = rule_of(checkpoints_appear_in_the_output), "a TrainResult, and files with weights in the output"
    try:
        checkpoint = context.trained
    except TrainerFailure as failure:
        return Violation(rule, "", expected, failure.message, failure.fix)
    if context.weights(checkpoint):
        return None
    return Violation(rule, "", expected, "no file with weights", "Write the model to `output`.")


def checkpoints_can_be_loaded(context: TrainerContext) -> Violation | None:
    """The policy answers with the checkpoint."""
    with context.policy.load(context.trained) as policy:
        ask(policy, prompts(context.seed))
    return None


def trainings_are_logged(context: TrainerContext) -> Violation | None:
    """The log of a training, training.jsonl, is a JSON object per line, if there is one."""
    path = context.trained.path / TRAINING_LOG
    rows = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    bad = next((row for row in rows if not _is_object(row)), None)
    if bad is None:
        return None
    fix = "Return TrainResult(losses=...), or write json.dumps({'step': ..., 'loss': ...}) for each step."
    actual = f"the line {quoted(bad)}"
    return Violation(rule_of(trainings_are_logged), TRAINING_LOG, "a JSON object per line", actual, fix)


def progress_is_told(context: TrainerContext) -> Violation | None:
    """A training says how far it is, and never goes back."""
    context.trained  # noqa: B018 - it is trained once
    done = [each[0] for each in context.said]
    if context.said and done == sorted(done) and all(0 <= each[0] <= each[1] for each in context.said):
        return None
    return Violation(
        rule_of(progress_is_told),
        "",
        "progress(done, total, text) with done rising up to total",
        quoted(context.said) if context.said else "it was never called",
        "Call progress(step, steps, f'loss {loss:.4f}') after each step.",
    )


def the_start_stays_as_it_is(context: TrainerContext) -> Violation | None:
    """The checkpoint that training starts from stays as it is."""
    before = {path: _hash(path) for path in sorted(context.start.path.rglob("*")) if path.is_file()}
    context.train("from the same start", examples())
    after = {path: _hash(path) for path in sorted(context.start.path.rglob("*")) if path.is_file()}
    if after == before:
        return None
    changed = sorted(path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    fix = "Write to `output` alone."
    return Violation(rule_of(the_start_stays_as_it_is), "", "no file changed", f"changed: {quoted(changed)}", fix)


def trainings_depend_on_their_arguments(context: TrainerContext) -> Violation | None:
    """The same examples, start and seed give the same weights."""
    again = context.train("again", examples())
    return _compared(
        trainings_depend_on_their_arguments,
        context,
        again,
        "Draw the order of examples and all else from the seed, and use deterministic algorithms.",
    )


def masked_examples_contribute_nothing(context: TrainerContext) -> Violation | None:
    """Examples without a weight contribute nothing."""
    masked = [example.changed(id=f"{example.id}/masked") for example in examples(weight=0.0)]
    among = context.train("among masked ones", [*masked[:4], *examples(), *masked[4:]])
    return _compared(
        masked_examples_contribute_nothing,
        context,
        among,
        "Drop them before batches are made, so that they have no share in the order, the loss or the steps.",
    )


def nothing_to_train_is_an_error(context: TrainerContext) -> Violation | None:
    """Without a single weight there is nothing to train, which is an error."""
    for what, learnt in {"no examples": [], "examples without a weight": examples(weight=0.0)}.items():
        try:
            result: object = context.train(f"nothing: {what}", learnt)
            actual = quoted(result)
        except NothingToTrain:
            continue
        except Exception as error:
            actual = f"{type(error).__name__}: {error}"
        fix = "Raise eef_framework.errors.NothingToTrain before anything is trained."
        return Violation(rule_of(nothing_to_train_is_an_error), what, "NothingToTrain", actual, fix)
    return None


def interrupted_trainings_can_be_repeated(context: TrainerContext) -> Violation | None:
    """A training that was interrupted gives, when it is repeated in the same folder, the result of one that wasn't."""
    context.trained  # noqa: B018 - says how often progress is told
    calls = 0

    def interrupt(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls > len(context.said) // 2:
            raise Interrupted

    with suppress(Interrupted):
        context.train("interrupted", examples(), interrupt)
    repeated = context.train("interrupted", examples())
    return _compared(
        interrupted_trainings_can_be_repeated,
        context,
        repeated,
        "Go on from a state that was written whole, generators and optimiser included; or start again from scratch.",
    )


CHECKS = (
    checkpoints_can_be_loaded,
    trainings_are_logged,
    progress_is_told,
    the_start_stays_as_it_is,
    trainings_depend_on_their_arguments,
    masked_examples_contribute_nothing,
    nothing_to_train_is_an_error,
    interrupted_trainings_can_be_repeated,
)


def _compared(rule: Callable[..., object], context: TrainerContext, other: Checkpoint, fix: str) -> Violation | None:
    """Compare a checkpoint with that of the first training."""
    first, second = context.weights(context.trained), context.weights(other)
    if first == second:
        return None
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    expected = f"the files {quoted(sorted(first))} as before"
    return Violation(rule_of(rule), "", expected, f"others: {quoted(differing)}", fix)


def _is_object(row: str) -> bool:
    try:
        return isinstance(json.loads(row), dict)
    except ValueError:
        return False


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
