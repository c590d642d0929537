"""Runs a trainer, and completes its result."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from eef_framework.errors import NothingToTrain, TrainerFailure, boundary, storage
from eef_framework.interfaces import ProgressCallback, Trainer
from eef_framework.models.progress_bars import without_progress_bars
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.runs.atomic import write_text
from eef_framework.runs.file_names import TRAINING_LOG


def run_trainer(
    trainer: Trainer,
    examples: Sequence[Example],
    start: Checkpoint,
    output: Path,
    seed: int,
    progress: ProgressCallback,
    name: str = "",
) -> TrainResult:
    """Train, and fill in the fields of the result that the framework knows.

    Args:
        trainer: the trainer.
        examples: the training examples.
        start: the checkpoint to start from.
        output: folder for the new checkpoint, and for `training.jsonl`, which is written if the trainer doesn't.
        seed: for all randomness.
        progress: called by the trainer.
        name: name of the new checkpoint.

    Raises:
        TrainerFailure: the trainer raised an exception, returned something else, or left no checkpoint in `output`.
        NothingToTrain: no example has a token with loss.
    """
    if not any(example.trained_turns for example in examples):
        raise NothingToTrain(
            f"none of the {len(examples)} examples has a turn with a weight above 0" if examples else "no examples",
            "Collect more, or choose other selection rules.",
            examples=len(examples),
        )
    who, done = f"trainer {trainer.component_name()!r}", 0

    def count_steps(step: int, steps: int, note: str) -> None:
        nonlocal done
        done = step
        progress(step, steps, note)

    with storage(output, "writing the checkpoint"):
        output.mkdir(parents=True, exist_ok=True)
    log = output / TRAINING_LOG
    log_before = _state(log)
    began = time.perf_counter()
    # Its own progress is shown. Without transformers in the process there is nothing to hide, and it is slow to import.
    quiet = without_progress_bars() if "transformers" in sys.modules else nullcontext()
    with quiet, boundary(TrainerFailure, trainer, f"training {name!r}" if name else "training"):
        result: object = trainer.train(examples, start, output, seed, count_steps)
    if not isinstance(result, TrainResult):
        raise TrainerFailure(
            f"{who} returned {result!r} from train, not a TrainResult",
            "Return TrainResult(), or TrainResult(steps=..., trained_tokens=..., losses=...).",
            code="not-a-train-result",
            trainer=trainer.component_name(),
        )
    checkpoint = result.checkpoint or Checkpoint(path=output, name=name)
    _check_checkpoint(checkpoint, output, trainer)
    if result.losses and _state(log) == log_before:  # missing, or that of an earlier training
        rows = (json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(result.losses, 1))
        write_text(log, "".join(f"{row}\n" for row in rows))
    seconds = time.perf_counter() - began
    return result.changed(checkpoint=checkpoint, steps=result.steps or done, seconds=seconds)


def _check_checkpoint(checkpoint: Checkpoint, output: Path, trainer: Trainer) -> None:
    """Check that a trainer wrote its checkpoint to the output folder."""
    elsewhere = checkpoint.path.absolute() != output.absolute()
    if elsewhere or not (output.is_dir() and any(output.iterdir())):
        raise TrainerFailure(
            f"trainer {trainer.component_name()!r} left no checkpoint in {str(output)!r}"
            + (f", but one in {str(checkpoint.path)!r}" if elsewhere else ""),
            "Write the new checkpoint to the folder `output`.",
            code="no-checkpoint",
            trainer=trainer.component_name(),
            output=str(output),
            checkpoint=str(checkpoint.path),
        )


def _state(path: Path) -> tuple[int, int, int] | None:
    """Return values that change when a file is written; None if there is no such file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
