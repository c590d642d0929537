"""One pass of tokens through a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eef_framework._compat.transformers import limits_logits
from eef_framework.errors import PolicyFailure

if TYPE_CHECKING:
    from torch import Tensor

    from eef_framework.policies.capabilities import Capabilities


@dataclass
class Statistics:
    """Statistics of an engine since its creation. Unlike a response, they depend on how requests were batched."""

    batches: int = 0
    tokens: int = 0
    """Tokens processed by the model, excluding padding."""
    samples: int = 0
    cached: int = 0
    """Samples from cached logits."""
    recomputed: int = 0
    """Samples that rounding could have changed, and that were recomputed unbatched."""


class ModelPass:
    """Runs tokens through a model, with or without a KV cache.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        pad: any token, used for padding.
        able: capabilities of the model.
        statistics: its count of tokens is kept.
    """

    def __init__(self, model: Any, pad: int, able: Capabilities, statistics: Statistics) -> None:
        self.model = model
        self.pad = pad
        self.able = able
        self.statistics = statistics
        self.stopped = False
        """Cancellation flag, checked before each pass."""
        self._limits_logits = limits_logits(model)

    def padded(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return token ids and their mask, padded on the left, both `(sequences, longest)`."""
        import torch

        width = max(map(len, sequences))
        ids = torch.tensor([[self.pad] * (width - len(sequence)) + [*sequence] for sequence in sequences])
        mask = torch.tensor([[0] * (width - len(sequence)) + [1] * len(sequence) for sequence in sequences])
        return ids.to(self.model.device), mask.to(self.model.device)

    def forward(self, ids: Tensor, mask: Tensor, cache: Any, real: Tensor, keep: int | None = None) -> Tensor:
        """Return the logits after the last position, `(rows, vocabulary)`.

        Args:
            ids: new tokens, `(rows, new)`.
            mask: which positions of cache and new tokens are not padding, `(rows, cached + new)`.
            cache: extended in place; None for no cache.
            real: which of the new tokens are not padding, `(rows, new)`.
            keep: number of last positions whose logits are returned instead, `(rows, keep, vocabulary)`.
        """
        # Positions count tokens, not padding; (rows, new).
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.run(ids, positions, cache, int(real.sum()), keep, attention_mask=mask)

    def run(
        self,
        ids: Tensor,
        positions: Tensor,
        cache: Any,
        tokens: int | None = None,
        keep: int | None = None,
        **mask: Any,
    ) -> Tensor:
        """Return the logits after the last position, `(rows, vocabulary)`.

        Args:
            ids: new tokens, `(rows, new)`.
            positions: of the new tokens, `(rows, new)`.
            cache: extended in place; None for no cache.
            tokens: number of new tokens that aren't padding; None for all.
            keep: number of last positions whose logits are returned instead, `(rows, keep, vocabulary)`.
            mask: `attention_mask`, if there is padding.
        """
        if self.stopped:
            raise PolicyFailure("the policy was closed while it answered", "Load the checkpoint again.", code="closed")
        self.statistics.tokens += ids.numel() if tokens is None else tokens
        if cache is not None:
            mask[self.able.cache] = cache
        shorter = {"logits_to_keep": keep or 1} if self._limits_logits else {}
        output = self.model(input_ids=ids, position_ids=positions, use_cache=cache is not None, **mask, **shorter)
        # Models without `logits_to_keep` return (rows, new, vocabulary).
        logits: Tensor = output.logits[:, -1] if keep is None else output.logits[:, -keep:]
        return logits.float()
