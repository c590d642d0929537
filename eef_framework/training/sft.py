"""Supervised fine-tuning with a weight per turn."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import ClassVar

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import storage
from eef_framework.evaluation.formatting import count, duration
from eef_framework.interfaces import ProgressCallback
from eef_framework.memory import release_memory
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.runs.atomic import write_text
from eef_framework.runs.layout import PREPARATION, TRAINING_LOG
from eef_framework.training.collate import Preparation, prepare
from eef_framework.training.distributed import single_process, train_elsewhere
from eef_framework.training.loop import Training, isolated_rng
from eef_framework.training.resume import SavePoint, training_key
from eef_framework.training.settings import SupervisedSettings


class SftTrainer(SupervisedSettings):
    """Minimises the weighted mean of -log p over the tokens of the agent's turns (arXiv 2504.13145, phases 1 and 3).

    The weighted mean is taken over all tokens of an optimisation step, independent of its micro-batches. Weights and
    optimiser are kept in float32. The same examples, settings and seed give the same weights, bit for bit, on the same
    kind of machine. Defaults are those of ETO (arXiv 2403.02502): the paper doesn't publish its own.
    """

    name: ClassVar[str] = "sft"

    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: ProgressCallback
    ) -> TrainResult:
        """Train from a checkpoint and write the result.

        Writes model and tokenizer, `training.jsonl` (a row per step) and `preparation.json` (examples that were left
        out).

        Raises:
            NothingToTrain: no example has a token to learn.
            TrainerFailure: the loss isn't a number any more, or a process of several failed.
        """
        with storage(output, "writing the checkpoint"):
            output.mkdir(parents=True, exist_ok=True)
            if self.processes > 1 or self.accelerate_config is not None:
                result = train_elsewhere(self, examples, start, output, seed, progress)
            else:
                with single_process(self.device):
                    result = train_here(self, examples, start, output, seed, progress)
                release_memory()
        return result


def train_here(
    trainer: SftTrainer,
    examples: Sequence[Example],
    start: Checkpoint,
    output: Path,
    seed: int,
    progress: ProgressCallback,
) -> TrainResult:
    """Train in this process, which may be one of several."""
    tokenizer = load_tokenizer(start.path, trainer.trust_remote_code)
    prepared = prepare(examples, ChatTokenizer(tokenizer), trainer.max_tokens, trainer.over_long)
    with isolated_rng(seed):
        point = SavePoint(output / "interrupted", training_key(trainer, prepared.examples, start, seed))
        training = Training(trainer, prepared.examples, start, output, seed)
        point.restore(training)
        if training.leads:
            (output / PREPARATION).write_text(_report(prepared), encoding="utf-8")
        losses = _run(training, point, output / TRAINING_LOG, trainer.save_every_s, progress)
        training.save(output, tokenizer)
        if training.leads:
            point.remove()
    return TrainResult(steps=training.steps, trained_tokens=training.tokens, losses=losses)


def _run(
    training: Training, point: SavePoint, log: Path, save_every_s: float | None, progress: ProgressCallback
) -> tuple[float, ...]:
    """Run the remaining steps, and write a row for each. Returns the losses of all steps."""
    rows = log.read_text(encoding="utf-8").splitlines(keepends=True)[: training.step] if training.step else []
    losses = [float(json.loads(row)["loss"]) for row in rows]
    pace = Pace(training)
    saved = time.monotonic()
    if training.leads:
        write_text(log, "".join(rows))  # atomically, and then a line at a time: a kill at any moment loses no row
    with log.open("a", encoding="utf-8", buffering=1) if training.leads else nullcontext(StringIO()) as file:
        while training.step < training.steps:
            row = training.advance()
            file.write(json.dumps(row) + "\n")
            losses.append(row["loss"])
            progress(training.step, training.steps, f"loss {row['loss']:.4f}, {pace}")
            if save_every_s is not None and training.agree(time.monotonic() - saved >= save_every_s):
                point.write(training)
                saved = time.monotonic()
    return tuple(losses)


class Pace:
    """Formats the speed of a training."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._began, self._tokens, self._step = time.monotonic(), training.tokens, training.step

    def __str__(self) -> str:
        """Return tokens per second since the start, and the time left."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        steps = max(self._training.step - self._step, 1)
        left = (self._training.steps - self._training.step) * seconds / steps
        return f"{count(round((self._training.tokens - self._tokens) / seconds))} tokens/s, {duration(left)} left"


def _report(prepared: Preparation) -> str:
    """Return counts of the training set, as JSON."""
    kept = prepared.examples
    return json.dumps(
        {
            "examples": len(kept),
            "tokens": sum(len(example.ids) for example in kept),
            "tokens_with_loss": sum(len(example.places) for example in kept),
            "over_long": prepared.over_long,
            "cut": prepared.cut,
            "without_loss": prepared.without_loss,
            "drifted": prepared.drifted,
        },
        indent=2,
    )
