"""Supervised fine-tuning with a weight for every turn."""

from __future__ import annotations

import inspect
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import TrainerFailure, storage
from eef_framework.interfaces import Progress, Trainer
from eef_framework.policies.loading import Device, load_model, load_tokenizer, pick_device, without_progress_bars
from eef_framework.records import Checkpoint, Cost, Example
from eef_framework.training.batches import batches, number_of_steps, pieces
from eef_framework.training.collate import Batch, Preparation, Prepared, collate, prepare


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

    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: Progress
    ) -> tuple[Checkpoint, Cost]:
        """Train from a checkpoint and write the result.

        Writes model and tokenizer, `training.jsonl` (a row for each step) and `preparation.json` (what was left out).

        Raises:
            NothingToTrain: no example has a token to learn.
            TrainerFailure: the loss isn't a number any more.
        """
        import torch

        began = time.perf_counter()
        tokenizer = load_tokenizer(start.path)
        prepared = prepare(examples, ChatTokenizer(tokenizer), self.max_tokens)
        steps = number_of_steps(len(prepared.examples), self.batch_size, self.epochs, self.steps)
        with storage(output, "writing the checkpoint"), torch.random.fork_rng():
            torch.manual_seed(seed)  # for dropout
            output.mkdir(parents=True, exist_ok=True)
            (output / "preparation.json").write_text(_report(prepared))
            with (output / "training.jsonl").open("w") as log:
                run = _Run(self, start, steps)
                for row in run.rows(prepared.examples, seed):
                    log.write(json.dumps(row) + "\n")
                    progress(row["step"], steps, f"loss {row['loss']:.4f}")
            run.save(output)
            tokenizer.save_pretrained(output)
        cost = Cost(trained_tokens=run.tokens, seconds=time.perf_counter() - began)
        return Checkpoint(path=output), cost


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


class _Run:
    """One training: the model, its optimiser, and how far it is."""

    def __init__(self, settings: SftTrainer, start: Checkpoint, steps: int) -> None:
        from transformers import get_cosine_schedule_with_warmup

        self.settings, self.steps, self.tokens = settings, steps, 0
        self.accelerator = _accelerator(settings)
        on_cpu = self.accelerator.device.type == "cpu"
        self.room = settings.max_batch_tokens or (1024 if on_cpu else 16384)
        model = load_model(start.path, "auto", "cpu")
        self.saved_dtype = model.dtype
        # Updates at usual learning rates get lost in the rounding of shorter types.
        model = model.float().train()
        if settings.gradient_checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable()  # its name from transformers 5 on, or before
        self.partial = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.model, self.optimizer = self.accelerator.prepare(model, _optimizer(model, settings))
        self.schedule = get_cosine_schedule_with_warmup(self.optimizer, round(settings.warmup * steps), steps)

    def rows(self, examples: Sequence[Prepared], seed: int) -> Iterator[dict[str, Any]]:
        """Train, and yield a row of the log for each step."""
        for step, batch in enumerate(batches(examples, self.settings.batch_size, self.steps, seed), start=1):
            rate = self.schedule.get_last_lr()[0]
            loss, norm = self._step(batch)
            self.tokens += sum(len(example.ids) for example in batch)
            yield {"step": step, "loss": loss, "lr": rate, "grad_norm": norm, "tokens": self.tokens}

    def save(self, output: Path) -> None:
        """Write the model, in the type it was read in."""
        model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        with without_progress_bars():
            model.to(self.saved_dtype).save_pretrained(output)

    def _step(self, batch: list[Prepared]) -> tuple[float, float]:
        """Take one optimisation step. Returns its loss and the length of the gradient."""
        total = sum(weight for example in batch for weight in example.weights)
        loss = 0.0
        for piece in pieces(batch, self.room):
            part = self._weighted_sum(collate(piece, pad=0)) / total
            self.accelerator.backward(part)
            loss += part.item()
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm))
        if not math.isfinite(loss + norm):
            raise TrainerFailure(
                f"the loss became {loss} (length of the gradient: {norm}) in a step on the examples "
                f"{', '.join(sorted({example.id for example in batch}))}",
                "Lower the learning rate, or look at these examples.",
            )
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return loss, norm

    def _weighted_sum(self, batch: Batch) -> Any:
        """Return the sum of w * -log p over the tokens to learn."""
        import torch

        batch = Batch(*(tensor.to(self.accelerator.device) for tensor in batch))
        # Logits only where something is learnt: at most positions of most examples nothing is.
        keep = {"logits_to_keep": batch.shown} if self.partial else {}
        logits = self.model(input_ids=batch.ids, use_cache=False, **keep).logits  # (examples, shown, vocabulary)
        learnt = logits[batch.rows, batch.columns if self.partial else batch.shown[batch.columns]].float()
        losses = torch.nn.functional.cross_entropy(learnt, batch.labels, reduction="none")  # (learnt,)
        return (losses * batch.weights).sum()


def _accelerator(settings: SftTrainer) -> Any:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # accelerate keeps its settings for the life of the process; another training may want others.
    AcceleratorState._reset_state(reset_partial_state=True)
    device = pick_device(settings.device)
    half = settings.precision == "bfloat16" or (settings.precision == "auto" and device != "cpu")
    return Accelerator(cpu=device == "cpu", mixed_precision="bf16" if half else "no")


def _optimizer(model: Any, settings: SftTrainer) -> Any:
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)
