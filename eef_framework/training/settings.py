"""What the trainers of this package have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eef_framework.interfaces import Trainer
from eef_framework.models.inspection import PEFT, require_installed
from eef_framework.policies.loading import Device, check_device, warn_of_slow_type
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


def room(settings: FineTuning, device: str) -> int:
    """Return how many tokens may go through the model at once on a device."""
    return settings.max_batch_tokens or (1024 if device == "cpu" else 16384)


def in_bfloat16(settings: FineTuning, device: str) -> bool:
    """Tell whether matrices are multiplied in bfloat16 on a device; warns where that is slow."""
    if settings.precision == "bfloat16":
        warn_of_slow_type("bfloat16", device)
    return settings.precision == "bfloat16" or (settings.precision == "auto" and device != "cpu")
