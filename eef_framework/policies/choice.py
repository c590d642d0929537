"""Choosing tokens from logits, so that the choice depends on nothing but logits and seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from eef_framework.policies.constraint import Allowed
from eef_framework.seeds import derive


class Draw(NamedTuple):
    """What one choice depends on, beside the logits."""

    allowed: Allowed | None
    """The tokens that may be chosen; None for all."""
    temperature: float
    uniform: float
    """Between 0 and 1, both excluded."""


class Pick(NamedTuple):
    """A choice."""

    token: int
    margin: float
    """How far each logit may be off without changing the choice."""


def uniform(seed: int, position: int) -> float:
    """Return the random number for one position of an answer."""
    return ((derive(seed, position) >> 11) + 0.5) * 2.0**-52


def choose(logits: Any, draws: Sequence[Draw]) -> list[Pick]:
    """Choose a token from each row of logits.

    Args:
        logits: `(rows, vocabulary)`.
        draws: one for each row.
    """
    listed = [row for row, draw in enumerate(draws) if isinstance(draw.allowed, tuple)]
    masked = [row for row, draw in enumerate(draws) if not isinstance(draw.allowed, tuple)]
    picks: dict[int, Pick] = {}
    if listed:
        some = [draws[row] for row in listed]
        picks.update(zip(listed, _pick(*_listed(logits[listed], some), some), strict=True))
    if masked:
        some = [draws[row] for row in masked]
        picks.update(zip(masked, _pick(_masked(logits[masked], some), None, some), strict=True))
    return [picks[row] for row in range(len(draws))]


def _listed(logits: Any, draws: list[Draw]) -> tuple[Any, Any]:
    """Return the logits of the tokens that each row lists, `(rows, longest list)`, and the tokens themselves."""
    import torch

    lists = [draw.allowed or () for draw in draws]
    width = max(map(len, lists))
    tokens = torch.tensor([[*tokens, *[-1] * (width - len(tokens))] for tokens in lists], device=logits.device)
    scores = logits.gather(1, tokens.clamp(min=0)).masked_fill(tokens < 0, -torch.inf)
    return scores, tokens


def _masked(logits: Any, draws: list[Draw]) -> Any:
    """Return the logits with those of forbidden tokens at minus infinity."""
    import torch

    for row, draw in enumerate(draws):
        mask: Any = draw.allowed
        if mask is not None:
            logits[row].masked_fill_(~mask, -torch.inf)
    return logits


def _pick(scores: Any, tokens: Any, draws: list[Draw]) -> list[Pick]:
    """Choose from scores `(rows, choices)`; `tokens` names the choices where they aren't the vocabulary's."""
    import torch

    temperature = torch.tensor([draw.temperature for draw in draws], dtype=torch.float64, device=scores.device)[:, None]
    if all(draw.temperature > 0 for draw in draws):
        index, margin = _sampled(scores, temperature, draws)
    else:
        index, margin = _likeliest(scores)
        if any(draw.temperature > 0 for draw in draws):
            by_chance = _sampled(scores, temperature.where(temperature > 0, 1.0), draws)
            index = torch.where(temperature > 0, by_chance[0], index)
            margin = torch.where(temperature > 0, by_chance[1], margin)
    chosen = index if tokens is None else tokens.gather(1, index)
    return [Pick(*pick) for pick in zip(chosen[:, 0].tolist(), margin[:, 0].tolist(), strict=True)]


def _likeliest(scores: Any) -> tuple[Any, Any]:
    """Choose the likeliest. Returns index and margin, both `(rows, 1)`."""
    best, index = scores.double().topk(2, dim=1)
    return index[:, :1], (best[:, :1] - best[:, 1:]) / 2


def _sampled(scores: Any, temperature: Any, draws: list[Draw]) -> tuple[Any, Any]:
    """Sample by the inverse of the cumulative distribution. Returns index and margin, both `(rows, 1)`.

    A bound of the cumulative distribution is the probability of some tokens against the others. If no logit is off
    by more than e, the logarithm of these odds is off by 2 e / temperature at most; so margins are measured there.
    """
    import torch

    bounds = (scores.double() / temperature).softmax(dim=1).cumsum(dim=1)
    bounds = bounds / bounds[:, -1:]
    u = torch.tensor([draw.uniform for draw in draws], dtype=torch.float64, device=scores.device)[:, None]
    index = torch.searchsorted(bounds, u, right=True).clamp(max=scores.shape[1] - 1)
    upper = bounds.gather(1, index)
    lower = torch.where(index > 0, bounds.gather(1, (index - 1).clamp(min=0)), 0.0)
    nearest = torch.minimum(u.logit() - lower.logit(), upper.logit() - u.logit())
    return index, nearest * temperature / 2
