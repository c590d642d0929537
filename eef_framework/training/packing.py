"""Packs several examples into one sequence, instead of padding them to equal length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eef_framework.errors import ConfigError
from eef_framework.training.collate import Batch, Prepared


def packs(batch: Sequence[Prepared], max_tokens: int) -> list[list[Prepared]]:
    """Split a batch into rows that fit into memory: the longest example first, each in the first row with enough space.

    Args:
        batch: the examples of one step.
        max_tokens: maximum length of a row. A longer example forms its own row.
    """
    rows: list[list[Prepared]] = []
    lengths: list[int] = []
    for example in sorted(batch, key=lambda example: (-len(example.ids), example.id)):
        size = len(example.ids)
        row = next((row for row, length in enumerate(lengths) if length + size <= max_tokens), len(rows))
        if row == len(rows):
            rows.append([])
            lengths.append(0)
        rows[row].append(example)
        lengths[row] += size
    return rows


def pack(examples: Sequence[Prepared]) -> Batch:
    """Pack examples into one sequence.

    Args:
        examples: at least one.
    """
    import torch

    inputs = [example.ids[: example.places[-1]] for example in examples]  # as in `collate`
    starts = [sum(map(len, inputs[:number])) for number in range(len(inputs))]
    shown = [start + place - 1 for start, each in zip(starts, examples, strict=True) for place in each.places]
    return Batch(
        ids=torch.tensor([[token for ids in inputs for token in ids]]),
        shown=torch.tensor(shown),
        rows=torch.zeros(len(shown), dtype=torch.long),
        columns=torch.arange(len(shown)),
        labels=torch.tensor([each.ids[place] for each in examples for place in each.places]),
        weights=torch.tensor([weight for each in examples for weight in each.weights]),
        # Position ids that restart at 0 tell transformers where the next example begins.
        positions=torch.tensor([[place for ids in inputs for place in range(len(ids))]]),
    )


def refuse_to_mix_neighbours(model: Any) -> None:
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
            one, other = (_behind(model, token) for token in (0, 1))
    except TypeError:  # it doesn't know where examples begin
        one, other = torch.ones(1), torch.zeros(1)
    finally:
        model.train(training)
    if not torch.allclose(one, other, rtol=0, atol=1e-4 * float(one.abs().max())):  # rounding of mixture-of-experts
        raise ConfigError(
            f"examples can't be packed for a {type(model).__name__}: they would see the ones before them",
            "Set the trainer's packing to false.",
            code="packing-unsupported",
            model=type(model).__name__,
        )


def _behind(model: Any, token: int) -> Any:
    """Return the logits of an example packed after one that consists of a single token."""
    import torch

    ids = torch.tensor([[token] * 8 + [0, 1, 0, 0, 1, 1, 0, 1]], device=model.device)
    positions = torch.arange(8, device=model.device).repeat(2)[None]
    return model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 8:]
