"""Packs several examples into one sequence, instead of padding them to equal length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eef_framework.errors import ConfigError
from eef_framework.training.collate import TokenizedExample, TrainingBatch

if TYPE_CHECKING:
    from torch import Tensor


def packed_rows(batch: Sequence[TokenizedExample], max_tokens: int) -> list[list[TokenizedExample]]:
    """Assign the examples of a batch to rows: the longest example first, each to the first row with enough space.

    Args:
        batch: the examples of one step.
        max_tokens: maximum length of a row. A longer example forms its own row.
    """
    rows: list[list[TokenizedExample]] = []
    lengths: list[int] = []
    for example in sorted(batch, key=lambda example: (-len(example.token_ids), example.id)):
        size = len(example.token_ids)
        row = next((row for row, length in enumerate(lengths) if length + size <= max_tokens), len(rows))
        if row == len(rows):
            rows.append([])
            lengths.append(0)
        rows[row].append(example)
        lengths[row] += size
    return rows


def collate_packed(examples: Sequence[TokenizedExample]) -> TrainingBatch:
    """Concatenate examples to a batch of one row.

    The model has to run with `use_cache=False`: with a cache, transformers doesn't keep the examples separate.

    Args:
        examples: at least one; each has a token to learn.
    """
    import torch

    ends = [(example, example.target_positions[-1]) for example in examples]  # as in `collate`
    loss_weights = torch.tensor([[weight for each, end in ends for weight in each.loss_weights[1 : end + 1]]])
    return TrainingBatch(  # tensors: (1, seq)
        input_ids=torch.tensor([[token for each, end in ends for token in each.token_ids[:end]]]),
        targets=torch.tensor([[token for each, end in ends for token in each.token_ids[1 : end + 1]]]),
        loss_weights=loss_weights,
        logit_positions=(loss_weights[0] > 0).nonzero()[:, 0],
        num_tokens=sum(len(example.token_ids) for example in examples),
        # Position ids that restart at 0 tell transformers where the next example begins.
        position_ids=torch.tensor([[position for _, end in ends for position in range(end)]]),
    )


def check_packing(model: Any) -> None:
    """Check that a model keeps packed examples separate.

    Args:
        model: a causal language model, on any device.

    Raises:
        ConfigError: the model's output for an example depends on the tokens of the previous one.
    """
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            first, second = (_logits_after(model, token) for token in (0, 1))
    except TypeError:  # its `forward` has no position_ids
        first, second = torch.ones(1), torch.zeros(1)
    finally:
        model.train(training)
    # The tolerance is for rounding in mixture-of-experts models.
    if not torch.allclose(first, second, rtol=0, atol=1e-4 * float(first.abs().max())):
        raise ConfigError(
            f"examples can't be packed for a {type(model).__name__}: they would see the ones before them",
            "Set the trainer's packing to false.",
            code="packing-unsupported",
            model=type(model).__name__,
        )


def _logits_after(model: Any, token: int) -> Tensor:
    """Return the logits `(1, 8, vocabulary)` of an example packed after one that repeats a single token."""
    import torch

    ids = torch.tensor([[token] * 8 + [0, 1, 0, 0, 1, 1, 0, 1]], device=model.device)  # (1, 16)
    positions = torch.arange(8, device=model.device).repeat(2)[None]  # (1, 16)
    logits: Tensor = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 8:]
    return logits
