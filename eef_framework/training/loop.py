"""The steps of a training."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.errors import TrainerFailure
from eef_framework.policies.loading import load_model, pick_device, without_progress_bars
from eef_framework.records import Checkpoint
from eef_framework.training.batches import batches, number_of_steps, pieces
from eef_framework.training.collate import Batch, Prepared, collate

if TYPE_CHECKING:
    from eef_framework.training.sft import SftTrainer


class Training:
    """A model under training, with its optimiser, and how far it is.

    Args:
        settings: of the trainer.
        examples: what is learnt.
        start: the checkpoint to start from.
        seed: for the order of examples.

    Attributes:
        step: how many steps are taken.
        steps: how many there are.
        tokens: how many tokens went through the model, padding not counted.
    """

    def __init__(self, settings: SftTrainer, examples: Sequence[Prepared], start: Checkpoint, seed: int) -> None:
        from transformers import get_cosine_schedule_with_warmup

        self._settings = settings
        self.step, self.tokens = 0, 0
        self.steps = number_of_steps(len(examples), settings.batch_size, settings.epochs, settings.steps)
        self._batches = batches(examples, settings.batch_size, self.steps, seed)
        self._accelerator = _accelerator(settings)
        on_cpu = self._accelerator.device.type == "cpu"
        self._room = settings.max_batch_tokens or (1024 if on_cpu else 16384)
        model = load_model(start.path, "auto", "cpu")
        self._saved_dtype = model.dtype
        # Updates at usual learning rates get lost in the rounding of shorter types.
        model = model.float().train()
        if settings.gradient_checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable()  # its name from transformers 5 on, or before
        self._partial = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._model, self._optimizer = self._accelerator.prepare(model, _optimizer(model, settings))
        warmup = round(settings.warmup * self.steps)
        self._schedule = get_cosine_schedule_with_warmup(self._optimizer, warmup, self.steps)

    def advance(self) -> dict[str, Any]:
        """Take a step and return its row of the log.

        Raises:
            TrainerFailure: the loss isn't a number.
        """
        batch = next(self._batches)
        rate = self._schedule.get_last_lr()[0]
        loss, norm = self._step(batch)
        self.step += 1
        self.tokens += sum(len(example.ids) for example in batch)
        return {"step": self.step, "loss": loss, "lr": rate, "grad_norm": norm, "tokens": self.tokens}

    def state(self) -> dict[str, Any]:
        """Return everything that the next steps depend on."""
        import torch

        return {
            "step": self.step,
            "tokens": self.tokens,
            "model": self._accelerator.unwrap_model(self._model).state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": [torch.get_rng_state(), *torch.cuda.get_rng_state_all()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was called."""
        import torch

        self.step, self.tokens = state["step"], state["tokens"]
        self._batches = islice(self._batches, self.step, None)
        self._accelerator.unwrap_model(self._model).load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"][0])
        torch.cuda.set_rng_state_all(state["random"][1:])

    def save(self, output: Path) -> None:
        """Write the model, in the type it was read in."""
        model = self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=False)
        with without_progress_bars():
            model.to(self._saved_dtype).save_pretrained(output)

    def _step(self, batch: list[Prepared]) -> tuple[float, float]:
        """Take one optimisation step. Returns its loss and the length of the gradient."""
        total = sum(weight for example in batch for weight in example.weights)
        loss = 0.0
        for piece in pieces(batch, self._room):
            part = self._weighted_sum(collate(piece, pad=0)) / total
            self._accelerator.backward(part)
            loss += part.item()
        norm = float(self._accelerator.clip_grad_norm_(self._model.parameters(), self._settings.max_grad_norm))
        if not math.isfinite(loss + norm):
            raise TrainerFailure(
                f"the loss became {loss} (length of the gradient: {norm}) in a step on the examples "
                f"{', '.join(sorted({example.id for example in batch}))}",
                "Lower the learning rate, or look at these examples.",
            )
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        return loss, norm

    def _weighted_sum(self, batch: Batch) -> Any:
        """Return the sum of w * -log p over the tokens to learn."""
        import torch

        batch = Batch(*(tensor.to(self._accelerator.device) for tensor in batch))
        # Logits only where something is learnt: at most positions of most examples nothing is.
        keep = {"logits_to_keep": batch.shown} if self._partial else {}
        logits = self._model(input_ids=batch.ids, use_cache=False, **keep).logits  # (examples, shown, vocabulary)
        learnt = logits[batch.rows, batch.columns if self._partial else batch.shown[batch.columns]].float()
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


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """Seed what dropout draws from, and leave the program's random numbers as they were."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
