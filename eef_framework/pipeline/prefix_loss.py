"""Loss weights of the expert's actions before a successful continuation (arXiv 2504.13145, phase 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, exp, lgamma, sqrt

from eef_framework.config.schema import Select
from eef_framework.records import Attribution, Segment, Verdict


def prefix_weights(attribution: Attribution, length: int, settings: Select) -> tuple[float, ...]:
    """Return the loss weight, 0 to 1, of each of the first actions of an attributed trajectory.

    Args:
        attribution: the verdicts, with the evidence.
        length: number of actions of the prefix.
        settings: `prefix_loss` sets what weights depend on.
    """
    if settings.prefix_loss == "all":
        return (1.0,) * length
    evidence = _evidence(attribution)
    weights = [float(settings.prefix_loss == "not-harmful")] * length  # for actions without a verdict
    for segment in attribution.segments:
        weight = _weight(segment, evidence, settings)
        for action in range(segment.start, min(segment.end, length)):
            weights[action] = weight
    return tuple(weights)


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of episodes from a state.

    Attributes:
        successes: how many succeeded, or an estimate of it.
        n: number of episodes.
    """

    successes: float
    n: int

    @property
    def mean(self) -> float:
        """The success rate."""
        return self.successes / self.n


def _weight(segment: Segment, evidence: Mapping[int, Outcomes], settings: Select) -> float:
    verdict = segment.verdict
    before, after = evidence.get(segment.start), evidence.get(segment.end)
    match settings.prefix_loss:
        case "not-harmful":
            return float(verdict is not Verdict.HARMFUL)
        case "credit" if segment.credit is not None:
            return min(1.0, max(0.0, segment.credit))
        case "credit" if before and after:
            return max(0.0, after.mean - before.mean)
        case "confidence" if before and after:
            return max(0.0, round(2.0 * probability_higher(after, before) - 1.0, 9))  # not 4e-16 for equal chances
        case "confidence" if segment.credit is not None and segment.evidence:
            width = (segment.evidence.high - segment.evidence.low) / (2 * 1.96)
            return max(0.0, erf(segment.credit / (width * sqrt(2)))) if width > 0 else float(segment.credit > 0)
        case "none":
            return 0.0
    return float(verdict is Verdict.BENEFICIAL)  # strategies without simulations have nothing but verdicts


def _evidence(attribution: Attribution) -> dict[int, Outcomes]:
    """Return state -> outcomes: the strategy's own values, and those of the simulations for other states."""
    probes = {
        probe.state: Outcomes(probe.successes, len(probe.simulations))
        for probe in attribution.own_probes
        if probe.simulations
    }
    values = {value.state: Outcomes(value.mean * value.n, value.n) for value in attribution.values if value.n}
    return probes | values


def probability_higher(first: Outcomes, second: Outcomes) -> float:
    """Return the probability that the first success rate is higher than the second, with uniform priors.

    The rates are independent and have the distributions Beta(1 + successes, 1 + failures).
    """
    wins, losses = round(first.successes) + 1, first.n - round(first.successes) + 1
    others, failures = second.successes + 1.0, second.n - second.successes + 1.0
    terms = (
        exp(_log_beta(others + k, failures + losses) - _log_beta(1 + k, losses) - _log_beta(others, failures))
        / (losses + k)
        for k in range(wins)
    )
    return min(1.0, sum(terms))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
