"""Policy with a transformers model in this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, PrivateAttr

from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import Sampling, TrainablePolicy
from eef_framework.memory import release_memory
from eef_framework.models.finding import find_model
from eef_framework.models.gguf import convert
from eef_framework.paths import UserPathOrName
from eef_framework.policies.attention import without_copies
from eef_framework.policies.batching import Batcher
from eef_framework.policies.limits import context_window, free_memory, kv_bytes_per_token
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
from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.truncation import truncate_oldest
from eef_framework.records import Checkpoint, Conversation, Observation, Response

if TYPE_CHECKING:
    from eef_framework.chat.tokens import ChatTokenizer, Prompt
    from eef_framework.policies.constraint import Constraints
    from eef_framework.policies.decoding_state import DecodingState
    from eef_framework.policies.engine import Engine, Statistics


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
    of the device's free memory, at most 65,536. Never changes a result."""
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

    _chat: ChatTokenizer | None = PrivateAttr(default=None)
    _engine: Engine | None = PrivateAttr(default=None)
    _constraints: Constraints | None = PrivateAttr(default=None)
    _batcher: Batcher[DecodingState] | None = PrivateAttr(default=None)
    _batch_tokens: int = PrivateAttr(default=0)
    _min_free_bytes: int = PrivateAttr(default=0)
    _context_window: int | None = PrivateAttr(default=None)

    def base(self, conversations: Iterable[Conversation], output: Path, seed: int) -> Checkpoint:
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

    def load(self, checkpoint: Checkpoint) -> Self:
        """Return a policy that answers with the weights of a checkpoint.

        Raises:
            ConfigError: the checkpoint can't be read, or its chat template doesn't allow exact masks.
        """
        from eef_framework.chat.tokens import ChatTokenizer
        from eef_framework.policies.constraint import Constraints
        from eef_framework.policies.engine import Engine
        from eef_framework.policies.prefix_cache import PrefixCache

        device = pick_device(self.device)
        dtype = "float32" if self.dtype == "auto" and device == "cpu" else self.dtype
        warn_of_slow_type(dtype, device)
        model = without_copies(load_model(checkpoint.path, dtype, device, self.trust_remote_code).eval())
        policy = self.model_copy()
        chat = ChatTokenizer(load_tokenizer(checkpoint.path, self.trust_remote_code))
        margin = self.tie_margin if self.tie_margin is not None else _TIE_MARGINS.get(str(model.dtype), 0.0)
        policy._chat = chat
        free = free_memory(device)
        kv_cache_bytes = free // 4 if self.kv_cache_mb is None else self.kv_cache_mb << 20
        policy._engine = Engine(
            model, chat.stop_ids[-1], margin, LogitsCache(self.logits_cache_mb << 20), PrefixCache(kv_cache_bytes)
        )
        policy._constraints = Constraints(chat, model.get_output_embeddings().weight.shape[0], device)
        policy._min_free_bytes = free // 2 if device == "cpu" else 0
        policy._batcher = Batcher(partial(policy._complete, policy._engine), policy._split)
        # An eighth, because keys and values of a batch are copied.
        policy._batch_tokens = self.max_batch_tokens or min(_MAX_BATCH_TOKENS, free // 8 // kv_bytes_per_token(model))
        policy._context_window = context_window(model)
        return policy

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer the last message.

        With `sampling.constrain`, the whole answer is an admissible action, which suits the format's style `action`.

        Raises:
            PolicyFailure: no checkpoint was loaded, the last observation is too long, or the model failed.
        """
        from eef_framework.policies.decoding_state import DecodingState, GenerationRequest

        if not (self._chat and self._constraints and self._batcher):
            raise PolicyFailure(
                "this policy has no weights", "Use the policy that load(checkpoint) returns.", code="no-weights"
            )
        prompt, dropped = self._prompt(conversation, sampling.max_tokens)
        request = GenerationRequest(
            prompt=prompt.ids,
            earlier=tuple(start for start, _ in prompt.turns),
            start=self._constraints.start(observation) if sampling.constrain else None,
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            seed=seed,
        )
        state = DecodingState(request, self._chat.end_ids, self._constraints.known_tokens)
        if not state.done:
            await self._batcher.do(state)
        return Response(
            text=self._chat.text(state.new),
            token_ids=tuple(state.new),
            tokenizer=self._chat.fingerprint,
            logprob=round(state.logprob, 6),
            dropped=dropped,
            prompt_tokens=len(request.prompt),
            computed_tokens=state.computed_tokens,
        )

    @property
    def statistics(self) -> Statistics:
        """Statistics of the model since it was loaded; empty if it wasn't."""
        from eef_framework.policies.engine import Statistics

        return self._engine.statistics if self._engine else Statistics()

    def close(self) -> None:
        """Release the model, after the current decoding step."""
        if self._engine:
            self._engine.stopped = True
        if self._batcher:
            self._batcher.close()
        self._engine = self._batcher = None
        release_memory()

    def _prompt(self, conversation: Conversation, answer: int) -> tuple[Prompt, int]:
        """Return the prompt for a conversation, and the number of observations that had to be dropped.

        Args:
            conversation: the conversation to answer.
            answer: maximum length of the answer, in tokens.
        """
        chat = self._chat
        assert chat is not None
        limits = (self.max_prompt_tokens, self._context_window - answer if self._context_window else None)
        longest = min((limit for limit in limits if limit is not None), default=None)
        if longest is None:
            return chat.prompt(conversation), 0
        shown, dropped = truncate_oldest(conversation, longest, lambda messages: len(chat.prompt(messages).ids))
        return chat.prompt(shown), dropped

    def _complete(self, engine: Engine, states: list[DecodingState]) -> None:
        """Complete a batch. If memory has become scarce, release unused memory first, and then part of the KV cache."""
        if self._min_free_bytes and free_memory("cpu") < self._min_free_bytes:
            release_memory()
            if free_memory("cpu") < self._min_free_bytes:
                engine.prefix_cache.shrink()
        engine.complete(states)

    def _split(self, states: list[DecodingState]) -> list[list[DecodingState]]:
        """Split requests into batches of similar length that fit into memory."""
        batches: list[list[DecodingState]] = []
        longest = 0
        for state in sorted(states, key=lambda state: (state.new_tokens, len(state.request.prompt))):
            longest = max([longest, len(state.request.prompt) + state.request.max_tokens])
            if not batches or longest * (len(batches[-1]) + 1) > self._batch_tokens:
                batches.append([])
                longest = len(state.request.prompt) + state.request.max_tokens
            batches[-1].append(state)
        return batches
