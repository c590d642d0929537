"""Samples tokens from logits. A sample depends only on the logits and the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from eef_framework.policies.constraint import Allowed
from eef_framework.seeds import derive

if TYPE_CHECKING:
    from torch import Tensor


class SamplingRequest(NamedTuple):
    """Inputs of one sample, in addition to the logits."""

    allowed: Allowed | None
    """The tokens that may be sampled; None for all."""
    temperature: float
    uniform: float
    """Random number between 0 and 1, both excluded."""


class Sample(NamedTuple):
    """A sampled token."""

    token: int
    margin: float
    """The same token would be sampled if no logit changed by more than this."""
    logprob: float
    """Log-probability of the token."""


def uniform(seed: int, position: int) -> float:
    """Return the random number for one position of an answer."""
    return ((derive(seed, position) >> 11) + 0.5) * 2.0**-52


def sample(logits: Tensor, requests: Sequence[SamplingRequest]) -> list[Sample]:
    """Sample a token from each row of logits.

    A short list of tokens is sampled by the inverse of its cumulative distribution. Over a whole vocabulary, the
    bounds of the many rare tokens are so close together that rounding would often change the sample. There, the token
    with the largest sum of logit and independent Gumbel noise is taken (Gumbel-max, arXiv 1611.00712): it follows the
    same distribution, and the two largest sums are rarely close.

    Args:
        logits: `(rows, vocabulary)`.
        requests: one per row.
    """
    listed = [row for row, request in enumerate(requests) if isinstance(request.allowed, tuple)]
    masked = [row for row, request in enumerate(requests) if not isinstance(request.allowed, tuple)]
    samples: dict[int, Sample] = {}
    if listed:
        some = [requests[row] for row in listed]
        scores, tokens = _listed_logits(logits[listed], some)
        samples.update(zip(listed, _sample(scores, tokens, some, _by_inverse), strict=True))
    if masked:
        some = [requests[row] for row in masked]
        scores = _masked_logits(logits[masked], some)
        samples.update(zip(masked, _sample(scores, None, some, _by_gumbel_max), strict=True))
    return [samples[row] for row in range(len(requests))]


def token_logprob(logits: Tensor, request: SamplingRequest, token: int) -> float:
    """Return the log-probability that `sample` reports for a token; minus infinity if it isn't allowed.

    Args:
        logits: `(vocabulary,)`.
        request: what to sample; its random number isn't used.
        token: the token.
    """
    allowed = request.allowed
    if isinstance(allowed, tuple):
        if token not in allowed:
            return float("-inf")
        scores, tokens = _listed_logits(logits[None], [request])  # both (1, tokens)
        index = int((tokens[0] == token).nonzero()[0])
    else:
        scores, index = _masked_logits(logits.clone()[None], [request]), token  # (1, vocabulary)
    scaled = scores[0] / (request.temperature or 1.0)
    return float(scaled[index] - scaled.logsumexp(dim=0))


def _listed_logits(logits: Tensor, requests: list[SamplingRequest]) -> tuple[Tensor, Tensor]:
    """Return the logits of the tokens that each row lists, and the tokens, both `(rows, longest list)`.

    Shorter lists are padded with the token -1, whose logit is minus infinity.
    """
    import torch

    lists = [request.allowed or () for request in requests]
    width = max(map(len, lists))
    tokens = torch.tensor([[*tokens, *[-1] * (width - len(tokens))] for tokens in lists])  # (rows, width)
    scores = logits.gather(1, tokens.clamp(min=0).to(logits.device)).cpu().double()  # (rows, width)
    return scores.masked_fill(tokens < 0, -torch.inf), tokens


def _masked_logits(logits: Tensor, requests: list[SamplingRequest]) -> Tensor:
    """Set the logits `(rows, vocabulary)` of forbidden tokens to minus infinity, in place, and return them."""
    import torch

    for row, request in enumerate(requests):
        mask = request.allowed  # (vocabulary,)
        if mask is not None and not isinstance(mask, tuple):
            logits[row].masked_fill_(~mask, -torch.inf)
    return logits


def _sample(
    scores: Tensor,
    tokens: Tensor | None,
    requests: list[SamplingRequest],
    method: Callable[[Tensor, list[SamplingRequest]], tuple[Tensor, Tensor]],
) -> list[Sample]:
    """Sample from scores.

    Args:
        scores: logits, `(rows, choices)`.
        tokens: the token of each choice, `(rows, choices)`; None if the choices are the whole vocabulary.
        requests: one per row.
        method: samples at temperatures above 0.
    """
    import torch

    # (rows, 1)
    temperature = torch.tensor([[each.temperature] for each in requests], dtype=scores.dtype, device=scores.device)
    scaled = scores / temperature.where(temperature > 0, 1.0)
    index, margin = method(scaled, requests) if (temperature > 0).any() else _most_likely(scaled)
    if (temperature > 0).any() and (temperature == 0).any():
        greedy = _most_likely(scaled)
        index = torch.where(temperature > 0, index, greedy[0])
        margin = torch.where(temperature > 0, margin, greedy[1])
    margin = margin * temperature.where(temperature > 0, 1.0)
    logprob = scaled.gather(1, index) - scaled.logsumexp(dim=1, keepdim=True)  # (rows, 1)
    sampled = index if tokens is None else tokens.gather(1, index)  # (rows, 1)
    columns = (sampled[:, 0].tolist(), margin[:, 0].tolist(), logprob[:, 0].tolist())
    return [Sample(*each) for each in zip(*columns, strict=True)]


def _most_likely(scaled: Tensor) -> tuple[Tensor, Tensor]:
    """Return index and margin of the largest score of each row, both `(rows, 1)`."""
    best, index = scaled.topk(2, dim=1)  # both (rows, 2)
    return index[:, :1], (best[:, :1] - best[:, 1:]) / 2


def _by_inverse(scaled: Tensor, requests: list[SamplingRequest]) -> tuple[Tensor, Tensor]:
    """Sample by the inverse of the cumulative distribution. Returns index and margin, both `(rows, 1)`.

    A bound of the cumulative distribution is the probability of some tokens against the others. If no logit changes
    by more than e, the log-odds of the bound change by at most 2 e; so margins are measured in log-odds.
    """
    import torch

    bounds = scaled.softmax(dim=1).cumsum(dim=1)  # (rows, choices)
    bounds = bounds / bounds[:, -1:]
    u = torch.tensor([[request.uniform] for request in requests], dtype=scaled.dtype)  # (rows, 1)
    index = torch.searchsorted(bounds, u, right=True).clamp(max=scaled.shape[1] - 1)
    upper = bounds.gather(1, index)
    lower = torch.where(index > 0, bounds.gather(1, (index - 1).clamp(min=0)), 0.0)
    nearest = torch.minimum(u.logit() - lower.logit(), upper.logit() - u.logit())
    return index, nearest / 2


def _by_gumbel_max(scaled: Tensor, requests: list[SamplingRequest]) -> tuple[Tensor, Tensor]:
    """Sample the largest sum of logit and noise. Returns index and margin, both `(rows, 1)`."""
    import torch

    noise = torch.stack([_gumbel_noise(request, scaled) for request in requests])  # (rows, vocabulary)
    return _most_likely(scaled + noise)


def _gumbel_noise(request: SamplingRequest, scaled: Tensor) -> Tensor:
    """Return Gumbel noise, `(vocabulary,)`."""
    import torch

    generator = torch.Generator(scaled.device).manual_seed(int(request.uniform * 2**52))
    # In double precision if available: in single precision, rare tokens would be sampled too rarely.
    precise = torch.float32 if scaled.device.type == "mps" else torch.float64
    uniforms = torch.rand(scaled.shape[1], generator=generator, device=scaled.device, dtype=precise)
    return -(-uniforms.log_()).log_().to(scaled.dtype)
