"""Supervised fine-tuning with a weight for every turn."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import storage
from eef_framework.interfaces import Progress, Trainer
from eef_framework.policies.loading import Device, load_tokenizer
from eef_framework.records import Checkpoint, Cost, Example
from eef_framework.training.collate import Preparation, prepare
from eef_framework.training.loop import Training, own_random_numbers
from eef_framework.training.resume import SavePoint, training_key


class SftTrainer(Trainer):
    """Minimises the weighted mean of -log p over the tokens of the agent's turns (arXiv 2504.13145, phases 1 and 3).

    The weighted mean is taken over all tokens of an optimisation step, however the step is cut into pieces. Weights and
    optimiser are kept in float32. The same examples, settings and seed give the same weights, bit for bit, on the same
    kind of machine. Defaults are those of ETO (arXiv 2403.02502): the paper doesn't publish its own.
    """

    name: ClassVar[str] = "sft"

    epochs: float = Field(default=3.0, gt=0)
    """How often each example is seen."""
    steps: int | None = Field(default=None, gt=0)
    """Number of optimisation steps; overrules `epochs`."""
    batch_size: int = Field(default=64, gt=0)
    """Examples in an optimisation step."""
    max_batch_tokens: int | None = Field(default=None, gt=0)
    """Largest piece of a step that goes through the model at once, in tokens, padding included: it bounds memory, and
    gradients accumulate over pieces. 1,024 on a processor and 16,384 elsewhere where it is null."""
    max_tokens: int = Field(default=4096, gt=0)
    """Longest example. Longer ones are left out and counted."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Highest learning rate. It rises linearly during warm-up and falls to 0 along a cosine."""
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of the steps that warm up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """For matrices; vectors, such as the scales of norms, don't decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are scaled to this length."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of products of matrices: on a processor `auto` is float32, elsewhere bfloat16."""
    device: Device = "auto"
    """Where to compute; `auto` is the best there is."""
    gradient_checkpointing: bool = False
    """Trade time for memory: compute activations again for the backward pass."""
    save_every_s: float | None = Field(default=600.0, ge=0)
    """How often a long training writes down where it is. Repeated with the same arguments after an interruption, it
    goes on from there, with the same result. Never where it is null."""

    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: Progress
    ) -> tuple[Checkpoint, Cost]:
        """Train from a checkpoint and write the result.

        Writes model and tokenizer, `training.jsonl` (a row for each step) and `preparation.json` (what was left out).

        Raises:
            NothingToTrain: no example has a token to learn.
            TrainerFailure: the loss isn't a number any more.
        """
        began = time.perf_counter()
        tokenizer = load_tokenizer(start.path)
        prepared = prepare(examples, ChatTokenizer(tokenizer), self.max_tokens)
        with storage(output, "writing the checkpoint"), own_random_numbers(seed):
            output.mkdir(parents=True, exist_ok=True)
            (output / "preparation.json").write_text(_report(prepared), encoding="utf-8")
            point = SavePoint(output / "interrupted.pt", training_key(self, prepared.examples, start, seed))
            training = Training(self, prepared.examples, start, seed)
            self._run(training, point, output / "training.jsonl", progress)
            training.save(output)
            tokenizer.save_pretrained(output)
            point.remove()
        return Checkpoint(path=output), Cost(trained_tokens=training.tokens, seconds=time.perf_counter() - began)

    def _run(self, training: Training, point: SavePoint, log: Path, progress: Progress) -> None:
        """Take all steps that aren't taken yet, and write a row for each."""
        state = point.read()
        rows = log.read_text(encoding="utf-8").splitlines(keepends=True) if state else []
        if state and len(rows) >= state["step"]:
            training.restore(state)
        saved = time.monotonic()
        with log.open("w", encoding="utf-8") as file:
            file.writelines(rows[: training.step])
            while training.step < training.steps:
                row = training.advance()
                file.write(json.dumps(row) + "\n")
                progress(training.step, training.steps, f"loss {row['loss']:.4f}")
                if self.save_every_s is not None and time.monotonic() - saved >= self.save_every_s:
                    file.flush()
                    point.write(training.state())
                    saved = time.monotonic()


def _report(prepared: Preparation) -> str:
    """Return what became of the training set, as JSON."""
    kept = prepared.examples
    return json.dumps(
        {
            "examples": len(kept),
            "tokens": sum(len(example.ids) for example in kept),
            "tokens_with_loss": sum(len(example.places) for example in kept),
            "over_long": prepared.over_long,
            "without_loss": prepared.without_loss,
        },
        indent=2,
    )
