"""Converts tokenized examples to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class TokenizedExample(NamedTuple):
    """An example as tokens."""

    id: str
    token_ids: list[int]
    """The whole conversation, `(seq,)`."""
    loss_weights: list[float]
    """Weight of each token in the loss, `(seq,)`; 0 for tokens that aren't learned."""

    @property
    def target_positions(self) -> list[int]:
        """Positions of the tokens to learn. The first token is never one: nothing predicts it."""
        return [position for position, weight in enumerate(self.loss_weights) if position > 0 and weight > 0]


class TrainingBatch(NamedTuple):
    """Examples as tensors, padded on the right, where causal attention doesn't look: no attention mask is needed.

    Targets are shifted already: `targets[:, t]` is the token to predict from `input_ids[:, : t + 1]`.
    """

    input_ids: Tensor
    """`(batch, seq)`"""
    targets: Tensor
    """The token that follows each position, `(batch, seq)`."""
    loss_weights: Tensor
    """Weight of each target in the loss, 0 where nothing is learned, `(batch, seq)`."""
    logit_positions: Tensor
    """Positions with a weight in any row, ascending, `(positions,)`. Other logits aren't needed: models of transformers
    compute only these if they get them as `logits_to_keep`."""
    num_tokens: int
    """Number of tokens of the examples, without padding."""
    position_ids: Tensor | None = None
    """If several examples share a row, the position of each token within its example, `(batch, seq)`."""

    def to(self, device: Any) -> TrainingBatch:
        """Return the batch with its tensors on a device."""
        return self._replace(**{name: each.to(device) for name, each in self._asdict().items() if hasattr(each, "to")})

    def loss_sum(self, logits: Tensor) -> Tensor:
        """Return the sum of weight * -log p over all targets, a scalar.

        Args:
            logits: the model's output, `(batch, seq, vocabulary)`, or `(batch, positions, vocabulary)` at
                `logit_positions` only.
        """
        import torch

        targets, weights = self.targets, self.loss_weights  # (batch, seq)
        if logits.shape[1] != targets.shape[1]:
            targets, weights = targets[:, self.logit_positions], weights[:, self.logit_positions]  # (batch, positions)
        learned = weights > 0
        # Logits in float32: in bfloat16, the sum over the vocabulary would lose digits.
        losses = torch.nn.functional.cross_entropy(logits[learned].float(), targets[learned], reduction="none")
        return (losses * weights[learned]).sum()  # both (targets,)

    def loss(self, logits: Tensor) -> Tensor:
        """Return the weighted mean of -log p over all targets, a scalar. Args as for `loss_sum`."""
        return self.loss_sum(logits) / self.loss_weights.sum()


def collate(examples: Sequence[TokenizedExample], pad: int = 0) -> TrainingBatch:
    """Pad examples to the length of the longest one.

    Args:
        examples: at least one; each has a token to learn.
        pad: any token, used for padding.
    """
    import torch

    # The last target is only predicted, and what follows it has no effect: neither is part of the input.
    ends = [example.target_positions[-1] for example in examples]
    seq = max(ends)

    def padded(rows: list[list[int]]) -> Tensor:
        return torch.tensor([row + [pad] * (seq - len(row)) for row in rows])  # (batch, seq)

    weights = [example.loss_weights[1 : end + 1] for example, end in zip(examples, ends, strict=True)]
    loss_weights = torch.tensor([row + [0.0] * (seq - len(row)) for row in weights])  # (batch, seq)
    return TrainingBatch(
        input_ids=padded([example.token_ids[:end] for example, end in zip(examples, ends, strict=True)]),
        targets=padded([example.token_ids[1 : end + 1] for example, end in zip(examples, ends, strict=True)]),
        loss_weights=loss_weights,
        logit_positions=(loss_weights > 0).any(dim=0).nonzero()[:, 0],
        num_tokens=sum(len(example.token_ids) for example in examples),
    )
