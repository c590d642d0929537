"""Policy with a transformers model in this process: settings, and how it is loaded."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import EefWarning
from eef_framework.interfaces import TrainablePolicy
from eef_framework.models.finding import find_model
from eef_framework.models.gguf import convert
from eef_framework.paths import UserPathOrName
from eef_framework.policies.attention import without_copies
from eef_framework.policies.constraint import Constraints
from eef_framework.policies.engine import Engine
from eef_framework.policies.limits import context_window, free_memory, kv_bytes_per_token
from eef_framework.policies.loaded_policy import LoadedTransformersPolicy
from eef_framework.policies.loading import (
    Device,
    Dtype,
    check_device,
    load_model,
    load_tokenizer,
    pick_device,
    warn_of_slow_type,
)
from eef_framework.policies.logits_cache import LogitsCache
from eef_framework.policies.prefix_cache import PrefixCache
from eef_framework.policies.tiny import TinyModel
from eef_framework.records import Checkpoint, Conversation

_TIE_MARGINS = {"torch.float32": 5e-5}
"""Default of `tie_margin`: twice the largest change of margins between batches (SmolLM2-135M, 76,800 samples,
`benchmarks/rounding.py`). In bfloat16 logits change by up to 0.75, so that every sample would be recomputed; the
shorter types have no margin."""

_MAX_BATCH_TOKENS = 65536
"""Maximum batch size if the device's memory isn't the limit, in tokens."""


class TransformersPolicy(TrainablePolicy):
    """A causal language model of transformers in this process, with batched decoding."""

    name: ClassVar[str] = "transformers"
    renamed: ClassVar[Mapping[str, str]] = {"memory_mb": "logits_cache_mb", "cache_mb": "kv_cache_mb"}

    model: UserPathOrName = "tiny"
    """`tiny` for a model that is created from the demonstrations, a folder, a folder of adapters (LoRA), a GGUF file, a
    name that `eef models list` shows, or a name on the hub."""
    dtype: Dtype = "auto"
    """Data type for computation: on a CPU `auto` is float32, elsewhere the type the weights were saved in. In float32
    answers don't depend on concurrent requests; bfloat16 is about twice as fast on CPUs that have instructions for it,
    and several times slower on others."""
    device: Device = "auto"
    """Device: `cpu`, `cuda`, `cuda:1` (one of several GPUs), `mps`; `auto` is the best available one."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model, which some models need. It has all of your permissions: read it first.
    Trainers have this setting, too."""
    max_prompt_tokens: int | None = Field(default=None, gt=0)
    """Maximum length of a prompt, in tokens. In longer conversations the oldest observations are dropped, in training
    as well. null for the model's context window minus the answer."""
    max_batch_tokens: int | None = Field(default=None, gt=0)
    """Maximum batch size, in tokens of prompts, padding included: it bounds memory. null for what fits into an eighth
    of the device's free memory, at most 65,536; on a CPU never more than what fits into a quarter. Never changes a
    result."""
    tie_margin: float | None = Field(default=None, ge=0)
    """How much rounding in batches may change a logit. Samples within this margin are recomputed unbatched, so that
    answers don't depend on concurrent requests. null for 5e-5 in float32. In the shorter types rounding is so coarse
    that nearly every token would be recomputed; there it is 0, and answers may depend on concurrent requests."""
    logits_cache_mb: int = Field(default=128, ge=0)
    """Size of the cache of logits for repeated prompts. Never changes a result."""
    kv_cache_mb: int | None = Field(default=None, ge=0)
    """Size of the cache of keys and values: of a prompt that continues an earlier one, only the new part is computed.
    null for a quarter of the device's free memory, less if memory becomes scarce. Never changes a result."""
    tiny: TinyModel = TinyModel()
    """Settings of the `tiny` model."""

    def initial_checkpoint(self, conversations: Iterable[Conversation], output: Path, seed: int) -> Checkpoint:
        """Create the tiny model, or find another one.

        Raises:
            ConfigError: the model doesn't exist, it hasn't been fetched, or its files can't be used.
        """
        if self.model == "tiny":
            return self.tiny.build(conversations, output, seed)
        path = find_model(self.model, self.trust_remote_code)
        if path.is_file():
            convert(path, output)  # once for the run: reading it takes long
            return Checkpoint(path=output)
        return Checkpoint(path=path)

    def preflight(self) -> None:
        """Check that the model exists, its files are complete, and the device is available.

        Raises:
            ConfigError: something is missing; see `error.code`.
        """
        if self.model != "tiny":
            find_model(self.model, self.trust_remote_code)
        check_device(self.device)

    def load(self, checkpoint: Checkpoint) -> LoadedTransformersPolicy:
        """Return a policy that answers with the weights of a checkpoint.

        Raises:
            ConfigError: the checkpoint can't be read, or its chat template doesn't allow exact masks.
        """
        device = pick_device(self.device)
        dtype = "float32" if self.dtype == "auto" and device == "cpu" else self.dtype
        warn_of_slow_type(dtype, device)
        model = without_copies(load_model(checkpoint.path, dtype, device, self.trust_remote_code).eval())
        chat = ChatTokenizer(load_tokenizer(checkpoint.path, self.trust_remote_code))
        free = free_memory(device)
        engine = Engine(
            model,
            pad=chat.stop_ids[-1],
            tie_margin=_TIE_MARGINS.get(str(model.dtype), 0.0) if self.tie_margin is None else self.tie_margin,
            logits_cache=LogitsCache(self.logits_cache_mb << 20),
            prefix_cache=PrefixCache(free // 4 if self.kv_cache_mb is None else self.kv_cache_mb << 20),
        )
        return LoadedTransformersPolicy(
            chat=chat,
            engine=engine,
            constraints=Constraints(chat, model.get_output_embeddings().weight.shape[0], device),
            context_window=context_window(model),
            max_prompt_tokens=self.max_prompt_tokens,
            max_batch_tokens=self._batch_tokens(free // kv_bytes_per_token(model), device),
            min_free_bytes=free // 2 if device == "cpu" else 0,
        )

    def _batch_tokens(self, fitting: int, device: str) -> int:
        """Return the maximum batch size in tokens.

        Args:
            fitting: number of tokens whose keys and values fit into the free memory.
            device: the device. On a CPU, a process that needs more memory than there is gets killed.
        """
        if self.max_batch_tokens is None:
            return min(_MAX_BATCH_TOKENS, fitting // 8)  # keys and values of a batch are copied
        if device != "cpu" or self.max_batch_tokens <= fitting // 4:
            return self.max_batch_tokens
        told = EefWarning(
            f"max_batch_tokens is {self.max_batch_tokens:,}, and {fitting // 4:,} is used: keys and values of more "
            "don't fit into the memory that is free here",
            code="batches-limited",
            wanted=self.max_batch_tokens,
            used=fitting // 4,
        )
        warnings.warn(told, stacklevel=3)
        return fitting // 4
