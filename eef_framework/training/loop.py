"""The training loop."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework._compat.accelerate import no_warnings_of_tied_weights, reset_settings
from eef_framework._compat.transformers import enable_activation_checkpointing, limits_logits
from eef_framework.errors import TrainerFailure
from eef_framework.models.adapter import SUBFOLDER
from eef_framework.models.progress_bars import without_progress_bars
from eef_framework.models.saving import new_checkpoint
from eef_framework.policies.loading import load_model, pick_device
from eef_framework.records import Checkpoint
from eef_framework.training.batches import micro_batches, number_of_steps, share, shuffled_batches
from eef_framework.training.collate import TokenizedExample, TrainingBatch, collate
from eef_framework.training.lora import adapted, merged
from eef_framework.training.packing import check_packing, collate_packed, packed_rows
from eef_framework.training.settings import (
    FineTuning,
    SupervisedSettings,
    in_bfloat16,
    micro_batch_tokens,
)
from eef_framework.training.sharding import Sharding

if TYPE_CHECKING:
    from torch import Tensor


class Training:
    """A model under training, with its optimiser and progress.

    Args:
        settings: the trainer's settings.
        examples: the training examples.
        start: the checkpoint to start from.
        output: folder for the files of trackers.
        seed: for the order of examples.

    Attributes:
        step: number of completed steps.
        steps: total number of steps.
        tokens: number of tokens processed, excluding padding.
    """

    def __init__(
        self,
        settings: SupervisedSettings,
        examples: Sequence[TokenizedExample],
        start: Checkpoint,
        output: Path,
        seed: int,
    ) -> None:
        from transformers import get_cosine_schedule_with_warmup

        self._settings = settings
        self.step, self.tokens = 0, 0
        self.steps = number_of_steps(len(examples), settings.batch_size, settings.epochs, settings.steps)
        self._batches = shuffled_batches(examples, settings.batch_size, self.steps, seed)
        self._accelerator = _accelerator(settings, output)
        self._micro_batch_tokens = micro_batch_tokens(settings, self._accelerator.device.type)
        model = load_model(start.path, "auto", "cpu", settings.trust_remote_code)
        self._start, self._saved_dtype = start, model.dtype
        if settings.packing:
            check_packing(model)
        model = _trainable(model, settings)
        # Models wrapped by peft pass unknown arguments on.
        self._selects_logits = limits_logits(model) or settings.lora is not None
        self._sharding: Sharding | None = None
        if settings.shard:
            device, processes = self._accelerator.device, self._accelerator.num_processes
            self._sharding = Sharding(device, processes, in_bfloat16(settings, device.type))
            self._model = self._sharding.shard(model)
            self._optimizer = _optimizer(self._model, settings)
        else:
            self._model, self._optimizer = self._accelerator.prepare(model, _optimizer(model, settings))
        warmup = round(settings.warmup * self.steps)
        self._schedule = get_cosine_schedule_with_warmup(self._optimizer, warmup, self.steps)
        self._accelerator.register_for_checkpointing(self._schedule)
        self._accelerator.init_trackers("training", _plain(settings))

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the files: the only one, or the first of several."""
        return bool(self._accelerator.is_main_process)

    def advance(self) -> dict[str, Any]:
        """Run a step and return its row of the log.

        Raises:
            TrainerFailure: the loss isn't a number.
        """
        batch = next(self._batches)
        rate = self._schedule.get_last_lr()[0]
        loss, norm = self._step(batch)
        self.step += 1
        self.tokens += sum(len(example.token_ids) for example in batch)
        self._accelerator.log({"loss": loss, "lr": rate, "grad_norm": norm}, step=self.step)
        return {"step": self.step, "loss": loss, "lr": rate, "grad_norm": norm, "tokens": self.tokens}

    def decide(self, choice: bool) -> bool:
        """Return the choice of the main process: all processes have to act alike."""
        if self._accelerator.num_processes == 1:
            return choice
        return self._sum(float(choice and self.is_main_process)) > 0

    def save_state(self, folder: Path) -> None:
        """Save everything that the next steps depend on."""
        if self._sharding:
            self._sharding.save(folder, self._model, self._optimizer, {"schedule": self._schedule.state_dict()})
            return
        with no_warnings_of_tied_weights():
            self._accelerator.save_state(str(folder))

    def load_state(self, folder: Path, step: int) -> None:
        """Continue from the state that was saved after the given number of steps."""
        if self._sharding:
            self._schedule.load_state_dict(self._sharding.load(folder, self._model, self._optimizer)["schedule"])
        else:
            self._accelerator.load_state(str(folder))
        self.step = step
        self.tokens = sum(len(example.token_ids) for batch in islice(self._batches, step) for example in batch)

    def save(self, output: Path, tokenizer: Any) -> None:
        """Write the model, in its original dtype, with its tokenizer, and end the training."""
        gather = self._sharding.whole_state if self._sharding else self._accelerator.get_state_dict
        weights = gather(self._model)
        if self.is_main_process:
            with without_progress_bars(), new_checkpoint(output) as folder:
                model = final_model(self._start, self._settings, weights, folder)
                model.to(self._saved_dtype).save_pretrained(folder)
                tokenizer.save_pretrained(folder)
        self._accelerator.end_training()

    def _step(self, batch: list[TokenizedExample]) -> tuple[float, float]:
        """Run one optimisation step. Returns its loss and the gradient norm."""
        total = sum(example.loss_weights[position] for example in batch for position in example.target_positions)
        processes = self._accelerator.num_processes
        split, to_tensors = (packed_rows, collate_packed) if self._settings.packing else (micro_batches, collate)
        own = share(split(batch, self._micro_batch_tokens), self._accelerator.process_index, processes)
        no_sync = self._sharding.no_sync if self._sharding else self._accelerator.no_sync
        loss = 0.0
        for number, (examples, counts) in enumerate(own, 1):
            # Gradients are exchanged with other processes only after the last micro-batch.
            with no_sync(self._model) if number < len(own) else nullcontext():
                # Gradients are averaged over processes, but the step needs their sum.
                part = self._loss_sum(to_tensors(examples)) * (processes * counts / total)
                self._accelerator.backward(part)
            loss += part.item() / processes
        loss = self._sum(loss)
        length = self._accelerator.clip_grad_norm_(self._model.parameters(), self._settings.max_grad_norm)
        norm = float(length.full_tensor() if self._sharding else length)
        require_finite(loss, norm, {example.id for example in batch})
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        return loss, norm

    def _sum(self, number: float) -> float:
        """Return the sum of a number over all processes."""
        import torch

        if self._accelerator.num_processes == 1:
            return number
        return float(self._accelerator.reduce(torch.tensor(number, device=self._accelerator.device), "sum"))

    def _loss_sum(self, batch: TrainingBatch) -> Tensor:
        """Return the sum of weight * -log p over the tokens to learn, a scalar."""
        batch = batch.to(self._accelerator.device)
        # Most positions of most examples have no loss, and logits take more memory than anything else.
        select = {"logits_to_keep": batch.logit_positions} if self._selects_logits else {}
        positions = {} if batch.position_ids is None else {"position_ids": batch.position_ids}
        output = self._model(input_ids=batch.input_ids, use_cache=False, **select, **positions)
        return batch.loss_sum(output.logits)  # (batch, positions or seq, vocabulary)


def _accelerator(settings: SupervisedSettings, output: Path) -> Any:
    from accelerate import Accelerator

    reset_settings()
    device = pick_device(settings.device)
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if in_bfloat16(settings, device) else "no",
        log_with=list(settings.trackers or ()) or None,
        project_dir=str(output),
    )


def _plain(settings: SupervisedSettings) -> dict[str, Any]:
    """Return the settings for trackers: numbers, and text for everything else."""
    return {key: value if isinstance(value, int | float) else str(value) for key, value in settings.settings().items()}


def _trainable(model: Any, settings: SupervisedSettings) -> Any:
    """Return the model ready for training: in float32, or, with adapters, with only the adapters trainable."""
    if settings.gradient_checkpointing:
        enable_activation_checkpointing(model)
    if settings.lora is not None:
        return adapted(model, settings.lora).train()
    # In bfloat16, updates at usual learning rates would be lost to rounding.
    return model.float().train()


def _optimizer(model: Any, settings: SupervisedSettings) -> Any:
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)


def require_finite(loss: float, norm: float, examples: Collection[str]) -> None:
    """Check that a step's loss and gradient are numbers.

    Args:
        loss: the loss.
        norm: the length of the gradient.
        examples: ids of the step's examples.

    Raises:
        TrainerFailure: they aren't (`loss-not-finite`).
    """
    if not math.isfinite(loss + norm):
        raise TrainerFailure(
            f"the loss became {loss} (length of the gradient: {norm}) in a step on the examples "
            f"{', '.join(sorted(examples))}",
            "Lower the learning rate, or look at these examples.",
            code="loss-not-finite",
            examples=sorted(examples),
        )


def final_model(start: Checkpoint, settings: FineTuning, weights: dict[str, Any], output: Path) -> Any:
    """Return a model with its final weights, in float32 on the CPU; adapters are written and merged.

    Args:
        start: the checkpoint that was trained.
        settings: the trainer's settings.
        weights: state of the model after the training.
        output: folder of the new checkpoint.
    """
    model = load_model(start.path, "auto", "cpu", settings.trust_remote_code)
    if settings.lora is None:
        model.float().load_state_dict(weights)
        return model
    return merged(model, settings.lora, weights, output / SUBFOLDER)


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seed torch's random numbers, which dropout draws from, and restore the program's random state afterwards."""
    import numpy as np
    import torch

    # Python's and NumPy's too: accelerate sets all three when a training is resumed.
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
