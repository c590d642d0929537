"""What the trainers of this package have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Trainer
from eef_framework.models.inspection import PEFT, installed, require_installed
from eef_framework.policies.loading import Device, check_device, require_devices, warn_of_slow_type
from eef_framework.training.lora import Lora


class FineTuning(Trainer):
    """Settings of a training by gradients. Defaults are those of ETO's behaviour cloning (arXiv 2403.02502)."""

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
    """Longest example."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Highest learning rate. It rises linearly during warm-up and falls to 0 along a cosine."""
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of the steps that warm up."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are scaled to this length."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of products of matrices: on a processor `auto` is float32, elsewhere bfloat16. Processors that have no
    instructions for bfloat16 take many times longer with it."""
    device: Device = "auto"
    """Where to compute: `cpu`, `cuda`, `cuda:1` (one of several GPUs), `mps`; `auto` is the best there is."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model, which some need. It can do whatever you can: read it first. The policy
    has this setting, too."""
    gradient_checkpointing: bool = False
    """Trade time for memory: compute activations again for the backward pass."""
    lora: Lora | None = None
    """Train low-rank adapters in place of all weights. The checkpoint holds the merged model, and `adapter/` the
    adapters by themselves."""

    def preflight(self) -> None:
        """Find out whether the device is there, and the library for adapters where they are wanted.

        Raises:
            ConfigError: it isn't.
        """
        check_device(self.device)
        if self.lora is not None:
            require_installed("peft", PEFT, f"the trainer's setting lora ({self.component_name()})")


class SupervisedSettings(FineTuning):
    """Settings of supervised fine-tuning."""

    over_long: Literal["drop", "cut"] = "drop"
    """What becomes of longer ones: they are left out, or cut behind the last turn that fits. Both are counted."""
    packing: bool = False
    """Put the examples of a piece one behind another, without attention between them, in place of padding them to one
    length. Batches are cut by length, which leaves about 1 % of padding, so that there is little to gain."""
    weight_decay: float = Field(default=0.0, ge=0)
    """For matrices; vectors, such as the scales of norms, don't decay."""
    processes: int = Field(default=1, gt=0)
    """On how many processes of this machine to train, one for each GPU."""
    accelerate_config: Path | None = None
    """A file as `accelerate config` writes it, for what goes beyond `processes`: FSDP, several machines. It overrules
    `processes`."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] | None = None
    """Where to show loss and learning rate, beside `training.jsonl`. TensorBoard where it is null and installed."""
    save_every_s: float | None = Field(default=600.0, ge=0)
    """How often a long training writes down where it is. Repeated with the same arguments after an interruption, it
    goes on from there, with the same result. Never where it is null."""

    def preflight(self) -> None:
        """Find out whether devices, files and libraries that the settings name are there.

        Raises:
            ConfigError: one is missing; `error.code` says which kind.
        """
        super().preflight()
        for name in self.trackers or ():
            require_installed(name, name, f"the trainer's setting trackers ({name})")
        if self.accelerate_config is not None and not self.accelerate_config.is_file():
            raise ConfigError(
                f"the trainer's accelerate_config {str(self.accelerate_config)!r} isn't there",
                "Write it with: accelerate config --config_file FILE",
                code="no-such-file",
                path=str(self.accelerate_config),
            )
        if self.processes > 1 and self.accelerate_config is None:
            require_devices(self.device, self.processes)

    @property
    def shown_in(self) -> tuple[str, ...]:
        """The trackers to use."""
        return tuple(filter(installed, ("tensorboard",))) if self.trackers is None else self.trackers


class PreferenceSettings(FineTuning):
    """Settings of preference training. Defaults are those of ETO's first iteration."""

    batch_size: int = Field(default=32, gt=0)
    """Pairs in an optimisation step."""
    max_batch_tokens: int | None = Field(default=None, gt=0)
    """Largest piece of a step that goes through the model at once, in tokens of both sides, padding included: it bounds
    memory, and gradients accumulate over pieces. All pieces have as many pairs as the longest pairs of the training
    set allow, but at least one. 1,024 on a processor and 16,384 elsewhere where it is null."""
    max_tokens: int = Field(default=4096, gt=0)
    """Longest side of a pair. Pairs with a longer one are left out, and counted."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """Learning rate. It rises linearly during warm-up and stays."""
    warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps that warm up."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the model is held to the checkpoint it starts from."""


def room(settings: FineTuning, device: str) -> int:
    """Return how many tokens may go through the model at once on a device."""
    return settings.max_batch_tokens or (1024 if device == "cpu" else 16384)


def in_bfloat16(settings: FineTuning, device: str) -> bool:
    """Tell whether matrices are multiplied in bfloat16 on a device; warns where that is slow."""
    if settings.precision == "bfloat16":
        warn_of_slow_type("bfloat16", device)
    return settings.precision == "bfloat16" or (settings.precision == "auto" and device != "cpu")
