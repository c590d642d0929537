"""Shared settings of the trainers in this package."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

from pydantic import Field

from eef_framework.errors import ConfigError, EefWarning
from eef_framework.interfaces import Trainer
from eef_framework.models.libraries import PEFT, require_installed
from eef_framework.policies.loading import Device, check_device, require_devices, warn_of_slow_type
from eef_framework.training.lora import Lora


class FineTuning(Trainer):
    """Settings of gradient-based training. Defaults are those of ETO's behaviour cloning (arXiv 2403.02502)."""

    epochs: float = Field(default=3.0, gt=0)
    """Number of passes over the examples."""
    steps: int | None = Field(default=None, gt=0)
    """Number of optimisation steps; overrides `epochs`."""
    batch_size: int = Field(default=64, gt=0)
    """Examples per optimisation step."""
    max_batch_tokens: int | None = Field(default=None, gt=0)
    """Maximum size of a micro-batch, in tokens, padding included: it bounds memory, and
    gradients accumulate over micro-batches. null for 1,024 on a CPU and 16,384 elsewhere."""
    max_tokens: int = Field(default=4096, gt=0)
    """Maximum length of an example, in tokens."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak learning rate. It rises linearly during warm-up and decays to 0 along a cosine."""
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of the steps used for warm-up."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Maximum gradient norm; larger gradients are scaled down to it."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Data type of matrix products: on a CPU `auto` is float32, elsewhere bfloat16. CPUs without instructions for
    bfloat16 are many times slower with it."""
    device: Device = "auto"
    """Device: `cpu`, `cuda`, `cuda:1` (one of several GPUs), `mps`; `auto` is the best available one."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model, which some models need. It runs with your permissions: read it first.
    The policy has this setting, too."""
    gradient_checkpointing: bool = False
    """Trade time for memory: recompute activations in the backward pass."""
    lora: Lora | None = None
    """Train low-rank adapters instead of all weights. The checkpoint contains the merged model, and `adapter/` only the
    adapters."""
    save_every_s: float | None = Field(default=600.0, ge=0)
    """Interval in seconds at which the state of a training is saved. After an interruption, training with the same
    arguments resumes from there, with the same result. null for never."""

    def preflight(self) -> None:
        """Check that the device is available, and the library for adapters if they are used.

        Raises:
            ConfigError: it isn't.
        """
        check_device(self.device)
        if self.lora is not None:
            require_installed("peft", PEFT, f"the trainer's setting lora ({self.component_name()})")


class SupervisedSettings(FineTuning):
    """Settings of supervised fine-tuning."""

    over_long: Literal["drop", "cut"] = "drop"
    """Whether longer examples are left out, or truncated after the last turn that fits. Both are counted."""
    packing: bool = False
    """Pack the examples of a micro-batch into one sequence, without attention between them, instead of padding them to
    equal length. Micro-batches are grouped by length, which leaves only about 1 % padding, so there is little to
    gain."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of matrices; vectors, such as the scales of norms, don't decay."""
    processes: int = Field(default=1, gt=0)
    """Number of processes on this machine to train on, one per GPU."""
    shard: bool = False
    """Divide weights, gradients and optimiser state among the processes (FSDP2), instead of keeping all in each.
    Takes less memory, and more communication."""
    accelerate_config: Path | None = None
    """A file written by `accelerate config`, for settings beyond `processes`: FSDP, several machines. It overrides
    `processes`."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] | None = None
    """Deprecated: use the setting `trackers` of the run, which gets the losses, too. Trackers that the trainer itself
    sends loss and learning rate to; null for none."""

    def preflight(self) -> None:
        """Check that the devices, files and libraries in the settings are available.

        Raises:
            ConfigError: one is missing; see `error.code`.

        Warns:
            EefWarning: the trainer's own trackers are used (`trainer-trackers`).
        """
        super().preflight()
        for name in self.trackers or ():
            require_installed(name, name, f"the trainer's setting trackers ({name})")
        if self.trackers:
            note = EefWarning(
                f"the trainer's setting trackers ({', '.join(self.trackers)}) is deprecated: name them in the "
                "setting trackers of the run, which also get success, reward and cost",
                code="trainer-trackers",
                trackers=list(self.trackers),
            )
            warnings.warn(note, stacklevel=2)
        if self.accelerate_config is not None and not self.accelerate_config.is_file():
            raise ConfigError(
                f"the trainer's accelerate_config {str(self.accelerate_config)!r} doesn't exist",
                "Write it with: accelerate config --config_file FILE",
                code="no-such-file",
                path=str(self.accelerate_config),
            )
        if self.shard and (self.processes == 1 or self.accelerate_config is not None):
            raise ConfigError(
                "the trainer's setting shard divides the model among the processes that the setting processes starts",
                "Set processes to the number of GPUs. With accelerate_config, choose FSDP in that file instead.",
                code="nothing-to-shard",
            )
        if self.processes > 1 and self.accelerate_config is None:
            require_devices(self.device, self.processes)


class PreferenceSettings(FineTuning):
    """Settings of preference training. Defaults are those of ETO's first iteration."""

    batch_size: int = Field(default=32, gt=0)
    """Pairs per optimisation step."""
    max_batch_tokens: int | None = Field(default=None, gt=0)
    """Maximum size of a micro-batch, in tokens of both sides, padding included: it bounds
    memory, and gradients accumulate over micro-batches. All have as many pairs as the longest pairs of the training set
    allow, but at least one. null for 1,024 on a CPU and 16,384 elsewhere."""
    max_tokens: int = Field(default=4096, gt=0)
    """Maximum length of a side of a pair, in tokens. Pairs with a longer side are left out, and counted."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """Learning rate. It rises linearly during warm-up and then stays constant."""
    warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps used for warm-up."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the model is kept close to the checkpoint it starts from."""
    sft_weight: float = Field(default=0.0, ge=0.0)
    """Weight of the mean negative log-likelihood of the preferred side's tokens, which is added to the loss (IPR)."""


def micro_batch_tokens(settings: FineTuning, device: str) -> int:
    """Return the maximum size of a micro-batch on a device, in tokens."""
    return settings.max_batch_tokens or (1024 if device == "cpu" else 16384)


def in_bfloat16(settings: FineTuning, device: str) -> bool:
    """Return whether matrices are multiplied in bfloat16 on a device; warns if that is slow."""
    if settings.precision == "bfloat16":
        warn_of_slow_type("bfloat16", device)
    return settings.precision == "bfloat16" or (settings.precision == "auto" and device != "cpu")
