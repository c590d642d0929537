"""Supervised fine-tuning with a weight per turn."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import ClassVar

from eef_framework.errors import storage
from eef_framework.evaluation.formatting import count, duration
from eef_framework.interfaces import ProgressCallback
from eef_framework.memory import release_memory
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.runs.file_names import INTERRUPTED, PREPARATION, TRAINING_LOG
from eef_framework.training.dataset import TokenizedDataset
from eef_framework.training.distributed import single_process, train_distributed
from eef_framework.training.loop import Training, isolated_rng
from eef_framework.training.resume import SavePoint, continued, losses_before, training_key
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
                result = train_distributed(self, examples, start, output, seed, progress)
            else:
                with single_process(self.device):
                    result = train_in_process(self, examples, start, output, seed, progress)
                release_memory()
        return result


def train_in_process(
    trainer: SftTrainer,
    examples: Sequence[Example],
    start: Checkpoint,
    output: Path,
    seed: int,
    progress: ProgressCallback,
) -> TrainResult:
    """Train in this process, which may be one of several."""
    tokenizer = load_tokenizer(start.path, trainer.trust_remote_code)
    data = TokenizedDataset.from_examples(examples, tokenizer, trainer.max_tokens, trainer.over_long)
    with isolated_rng(seed):
        key = training_key(trainer, data.examples, start, seed)
        save_point = SavePoint(output / INTERRUPTED, key, trainer.save_every_s)
        training = Training(trainer, data.examples, start, output, seed)
        if state := save_point.latest():
            training.load_state(*state)
        if training.is_main_process:
            (output / PREPARATION).write_text(json.dumps(data.summary(), indent=2), encoding="utf-8")
        losses = _run(training, save_point, output / TRAINING_LOG, progress)
        training.save(output, tokenizer)
        if training.is_main_process:
            save_point.remove()
    return TrainResult(steps=training.steps, trained_tokens=training.tokens, losses=losses)


def _run(training: Training, save_point: SavePoint, log: Path, progress: ProgressCallback) -> tuple[float, ...]:
    """Run the remaining steps, and write a row for each. Returns the losses of all steps."""
    main = training.is_main_process
    losses = losses_before(log, training.step)
    speed = Speed(training)
    with continued(log, training.step) if main else nullcontext(StringIO()) as file:
        while training.step < training.steps:
            row = training.advance()
            file.write(json.dumps(row) + "\n")
            losses.append(row["loss"])
            progress(training.step, training.steps, f"loss {row['loss']:.4f}, {speed}")
            if training.decide(save_point.due):
                save_point.write(training.step, training.save_state, main)
    return tuple(losses)


class Speed:
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
