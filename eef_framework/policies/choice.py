"""Samples tokens from logits, depending only on logits and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from eef_framework.policies.constraint import Allowed
from eef_framework.seeds import derive


class Draw(NamedTuple):
    """Inputs of one choice, in addition to the logits."""

    allowed: Allowed | None
    """The tokens that may be chosen; None for all."""
    temperature: float
    uniform: float
    """Random number between 0 and 1, both excluded."""


class Pick(NamedTuple):
    """A chosen token."""

    token: int
    margin: float
    """The choice is unchanged if no logit is off by more than this."""
    logprob: float
    """Log-probability of the token."""


def uniform(seed: int, position: int) -> float:
    """Return the random number for one position of an answer."""
    return ((derive(seed, position) >> 11) + 0.5) * 2.0**-52


def choose(logits: Any, draws: Sequence[Draw]) -> list[Pick]:
    """Choose a token from each row of logits.

    A short list of tokens is sampled by the inverse of its cumulative distribution. Over a whole vocabulary, the
    bounds of the many rare tokens are so close together that rounding would often change the choice; there, the largest
    sum of a logit and an independent random number is taken (Gumbel-max, arXiv 1611.00712), which follows the same
    distribution and is seldom close.

    Args:
        logits: `(rows, vocabulary)`.
        draws: one per row.
    """
    listed = [row for row, draw in enumerate(draws) if isinstance(draw.allowed, tuple)]
    masked = [row for row, draw in enumerate(draws) if not isinstance(draw.allowed, tuple)]
    picks: dict[int, Pick] = {}
    if listed:
        some = [draws[row] for row in listed]
        scores, tokens = _listed(logits[listed], some)
        picks.update(zip(listed, _pick(scores, tokens, some, _sampled), strict=True))
    if masked:
        some = [draws[row] for row in masked]
        picks.update(zip(masked, _pick(_masked(logits[masked], some), None, some, _perturbed), strict=True))
    return [picks[row] for row in range(len(draws))]


def _listed(logits: Any, draws: list[Draw]) -> tuple[Any, Any]:
    """Return the logits of the tokens that each row lists, `(rows, longest list)`, and the tokens themselves."""
    import torch

    lists = [draw.allowed or () for draw in draws]
    width = max(map(len, lists))
    tokens = torch.tensor([[*tokens, *[-1] * (width - len(tokens))] for tokens in lists])
    scores = logits.gather(1, tokens.clamp(min=0).to(logits.device)).cpu().double()
    return scores.masked_fill(tokens < 0, -torch.inf), tokens


def _masked(logits: Any, draws: list[Draw]) -> Any:
    """Return the logits with those of forbidden tokens at minus infinity."""
    import torch

    for row, draw in enumerate(draws):
        mask: Any = draw.allowed
        if mask is not None:
            logits[row].masked_fill_(~mask, -torch.inf)
    return logits


def _pick(scores: Any, tokens: Any, draws: list[Draw], sample: Callable[..., tuple[Any, Any]]) -> list[Pick]:
    """Choose from scores `(rows, choices)`; `tokens` lists the choices if they aren't the whole vocabulary."""
    import torch

    temperature = torch.tensor([[draw.temperature] for draw in draws], dtype=scores.dtype, device=scores.device)
    scaled = scores / temperature.where(temperature > 0, 1.0)
    index, margin = sample(scaled, draws) if (temperature > 0).any() else _likeliest(scaled)
    if (temperature > 0).any() and (temperature == 0).any():
        likeliest = _likeliest(scaled)
        index = torch.where(temperature > 0, index, likeliest[0])
        margin = torch.where(temperature > 0, margin, likeliest[1])
    margin = margin * temperature.where(temperature > 0, 1.0)
    logprob = scaled.gather(1, index) - scaled.logsumexp(dim=1, keepdim=True)
    chosen = index if tokens is None else tokens.gather(1, index)
    columns = (chosen[:, 0].tolist(), margin[:, 0].tolist(), logprob[:, 0].tolist())
    return [Pick(*pick) for pick in zip(*columns, strict=True)]


def _likeliest(scaled: Any) -> tuple[Any, Any]:
    """Choose the most likely. Returns index and margin, both `(rows, 1)`."""
    best, index = scaled.topk(2, dim=1)
    return index[:, :1], (best[:, :1] - best[:, 1:]) / 2


def _sampled(scaled: Any, draws: list[Draw]) -> tuple[Any, Any]:
    """Sample by the inverse of the cumulative distribution. Returns index and margin, both `(rows, 1)`.

    A bound of the cumulative distribution is the probability of some tokens against the others. If no logit is off
    by more than e, the logarithm of these odds is off by 2 e at most; so margins are measured there.
    """
    import torch

    bounds = scaled.softmax(dim=1).cumsum(dim=1)
    bounds = bounds / bounds[:, -1:]
    u = torch.tensor([[draw.uniform] for draw in draws], dtype=scaled.dtype)
    index = torch.searchsorted(bounds, u, right=True).clamp(max=scaled.shape[1] - 1)
    upper = bounds.gather(1, index)
    lower = torch.where(index > 0, bounds.gather(1, (index - 1).clamp(min=0)), 0.0)
    nearest = torch.minimum(u.logit() - lower.logit(), upper.logit() - u.logit())
    return index, nearest / 2


def _perturbed(scaled: Any, draws: list[Draw]) -> tuple[Any, Any]:
    """Sample by the largest sum of logit and noise. Returns index and margin, both `(rows, 1)`."""
    import torch

    noise = torch.stack([_noise(draw, scaled) for draw in draws])
    return _likeliest(scaled + noise)


def _noise(draw: Draw, scaled: Any) -> Any:
    """Return Gumbel noise, one value per token of the vocabulary, `(vocabulary,)`."""
    import torch

    generator = torch.Generator(scaled.device).manual_seed(int(draw.uniform * 2**52))
    # In double precision if available: in single precision, rare tokens would be chosen too seldom.
    precise = torch.float32 if scaled.device.type == "mps" else torch.float64
    uniforms = torch.rand(scaled.shape[1], generator=generator, device=scaled.device, dtype=precise)
    return -(-uniforms.log_()).log_().to(scaled.dtype)
