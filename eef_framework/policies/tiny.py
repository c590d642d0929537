"""A model small enough to be trained from scratch on a laptop's processor, with its own vocabulary.

It isn't treated specially elsewhere: it is a folder in the layout of transformers, like any other checkpoint.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from eef_framework.errors import ConfigError
from eef_framework.models.progress_bars import without_progress_bars
from eef_framework.models.saving import new_checkpoint
from eef_framework.records import Checkpoint, Conversation

_PAD, _UNKNOWN, _SYSTEM, _USER, _ASSISTANT, _END = (
    "<pad>",
    "<unk>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
)
_ROLES = [_SYSTEM, _USER, _ASSISTANT]
_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

_LARGEST = 1_000_000_000
"""Maximum number of weights: they take 4 GB, and 16 GB in training."""


class TinyModel(BaseModel):
    """A small Llama-like model with random weights, and words as tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    hidden: int = Field(default=128, gt=0, le=8192)
    """Width of the residual stream: a multiple of twice the number of heads."""
    layers: int = Field(default=4, gt=0, le=128)
    heads: int = Field(default=4, gt=0, le=128)
    feed_forward: int = Field(default=256, gt=0, le=65536)
    """Width of the feed-forward layers."""
    initializer_range: float = Field(default=0.06, gt=0, le=1)
    """Standard deviation of the initial weights. At this width the 0.02 of large models learns several times slower."""
    positions: int = Field(default=8192, gt=0, le=1 << 20)
    """Maximum length of a conversation, in tokens."""
    words: int = Field(default=16384, gt=0, le=1 << 20)
    """Largest vocabulary; rarer words become `<unk>`."""
    actions: str = r"\b(?:buy|choose|click|close|go|look|open|put|take|use)\[[^\[\]\n]*\]"
    """Regular expression for actions that become one token each, regardless of their words. Text in brackets after
    other words, such as `search[red shirt]`, is split into words."""

    @field_validator("actions")
    @classmethod
    def _compiles(cls, actions: str) -> str:
        try:
            re.compile(actions)
        except re.error as cause:
            raise ValueError(f"{actions!r} isn't a regular expression: {cause}") from cause
        return actions

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.hidden % (2 * self.heads):
            near = max(1, round(self.hidden / (2 * self.heads))) * 2 * self.heads
            raise ValueError(
                f"hidden ({self.hidden}) must be a multiple of twice the heads ({self.heads}); the nearest is {near}"
            )
        size = self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.feed_forward) + self.words * self.hidden
        if size > _LARGEST:
            raise ValueError(f"a model of these sizes would have {size:,} weights; {_LARGEST:,} is the most")
        return self

    def build(self, conversations: Iterable[Conversation], output: Path, seed: int) -> Checkpoint:
        """Create the model and write it to a folder.

        Args:
            conversations: source of the vocabulary: every word of every message.
            output: the folder.
            seed: for the initial weights.

        Raises:
            ConfigError: the conversations are empty.
        """
        tokenizer = self._tokenizer(message.content for conversation in conversations for message in conversation)
        with without_progress_bars(), new_checkpoint(output) as folder:
            self._model(tokenizer, seed).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return Checkpoint(path=output)

    def _tokenizer(self, texts: Iterable[str]) -> Any:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        # Matches of the pattern are kept as words; everything between them (white space) is dropped.
        pattern = rf"{self.actions}|\b\w+\[|\]|[^\s\]]+"
        splitter = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
        counts = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(text))
        if not counts:
            raise ConfigError(
                "a model of its own vocabulary needs conversations, and there are none",
                "Collect demonstrations first, give a checkpoint, or name another model (policy.model).",
                code="no-conversations",
            )
        tokenizer = Tokenizer(models.WordLevel(dict(self._vocabulary(counts)), unk_token=_UNKNOWN))
        tokenizer.pre_tokenizer = splitter
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            unk_token=_UNKNOWN,
            pad_token=_PAD,
            eos_token=_END,
            additional_special_tokens=_ROLES,
            chat_template=_TEMPLATE,
            clean_up_tokenization_spaces=False,
            model_max_length=self.positions,
        )

    def _vocabulary(self, counts: Counter[str]) -> Iterator[tuple[str, int]]:
        special = [_PAD, _UNKNOWN, *_ROLES, _END]
        words = sorted(counts.keys() - set(special), key=lambda word: (-counts[word], word))
        return ((word, index) for index, word in enumerate([*special, *words[: self.words]]))

    def _model(self, tokenizer: Any, seed: int) -> Any:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            max_position_embeddings=self.positions,
            tie_word_embeddings=True,
            initializer_range=self.initializer_range,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return LlamaForCausalLM(config)
