"""Examples one behind another in a row, in place of padding them to one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eef_framework.errors import ConfigError
from eef_framework.training.collate import Batch, Prepared


def packs(batch: Sequence[Prepared], max_tokens: int) -> list[list[Prepared]]:
    """Cut a batch into rows that fit into memory: the longest example first, each into the first row with room for it.

    Args:
        batch: the examples of one step.
        max_tokens: longest row. An example that is longer by itself is a row.
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
    """Put examples one behind another.

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
        # Places that start again at 0 tell transformers where a neighbour begins.
        positions=torch.tensor([[place for ids in inputs for place in range(len(ids))]]),
    )


def refuse_to_mix_neighbours(model: Any) -> None:
    """Try whether packed examples stay apart in a model.

    Args:
        model: a causal language model, on any device.

    Raises:
        ConfigError: what the model says of an example depends on the tokens of the one before it.
    """
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            one, other = (_behind(model, token) for token in (0, 1))
    except TypeError:  # it isn't told where examples begin
        one, other = torch.ones(1), torch.zeros(1)
    finally:
        model.train(training)
    if not torch.allclose(one, other, rtol=0, atol=1e-4 * float(one.abs().max())):  # experts round by batch
        raise ConfigError(
            f"examples can't be packed for a {type(model).__name__}: they would see the ones before them",
            "Set the trainer's packing to false.",
            code="packing-unsupported",
            model=type(model).__name__,
        )


def _behind(model: Any, token: int) -> Any:
    """Return the logits of an example behind one that consists of a token."""
    import torch

    ids = torch.tensor([[token] * 8 + [0, 1, 0, 0, 1, 1, 0, 1]], device=model.device)
    positions = torch.arange(8, device=model.device).repeat(2)[None]
    return model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 8:]
