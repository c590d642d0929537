"""95 % intervals, all in closed form: no resampling, so the same episodes always give the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from eef_framework.errors import EefError
from eef_framework.records import Estimate

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

# The 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T = (
    *(12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139),
    *(2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024, 2.085963),
    *(2.079614, 2.073873, 2.068658, 2.063899, 2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272),
)


def success_rate(successes: int, n: int) -> Estimate:
    """Return a share with its Wilson score interval (Wilson 1927), which stays within 0 and 1 and works near both.

    Args:
        successes: how many of n succeeded.
        n: how many there were. Of none, the share is 0 and the interval all there is, 0 to 1.
    """
    if not 0 <= successes <= n:
        raise EefError(f"{successes} successes of {n} episodes; expected 0 <= successes <= episodes")
    if n == 0:
        return Estimate(mean=0.0, low=0.0, high=1.0, n=0)
    share = successes / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # At 0 and n successes the bound is exactly 0 or 1; rounding must not push it past the mean.
    return Estimate(mean=share, low=min(share, max(0.0, centre - half)), high=max(share, min(1.0, centre + half)), n=n)


def mean(values: Sequence[float]) -> Estimate:
    """Return a mean with its t interval.

    Args:
        values: at least two for an interval. One alone says nothing about the spread: its interval is unbounded
            (-inf to inf), and so is that of none, whose mean is 0.
    """
    n = len(values)
    if n < 2:
        return Estimate(mean=float(values[0]) if values else 0.0, low=-math.inf, high=math.inf, n=n)
    centre = math.fsum(values) / n
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    half = t_quantile(n - 1) * math.sqrt(variance / n)
    return Estimate(mean=centre, low=centre - half, high=centre + half, n=n)


def paired_difference(a: Mapping[str, bool], b: Mapping[str, bool]) -> Estimate:
    """Return the success rate of a minus that of b on the same tasks, with the interval of the paired difference.

    The interval is the Wald interval with one task more of each disagreement (Bonett and Price 2012), which keeps its
    95 % with few tasks too, and isn't empty where the two agree on every task.

    Args:
        a: task id -> whether it succeeded.
        b: the same tasks.

    Raises:
        EefError: the tasks differ; says which.
    """
    if a.keys() != b.keys():
        raise EefError(
            f"two actors can be compared on the same tasks only: {_some(a.keys() - b.keys())} on the first side only, "
            f"{_some(b.keys() - a.keys())} on the second side only, and {len(a.keys() & b.keys())} on both",
            "Evaluate both on the same split with the same number of tasks.",
        )
    n = len(a)
    if n == 0:
        return Estimate(mean=0.0, low=-1.0, high=1.0, n=0)
    only_a = sum(a[task] and not b[task] for task in a)
    only_b = sum(b[task] and not a[task] for task in a)
    p, q = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = Z * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    return Estimate(mean=(only_a - only_b) / n, low=max(-1.0, p - q - half), high=min(1.0, p - q + half), n=n)


def t_quantile(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution.

    From 31 degrees of freedom on by the Cornish-Fisher expansion, whose error is below 2e-6 there.
    """
    if degrees < 1:
        raise EefError(f"{degrees} degrees of freedom; expected 1 or more, which takes two values")
    if degrees <= len(_T):
        return _T[degrees - 1]
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + first / degrees + second / degrees**2 + third / degrees**3


def _some(tasks: set[str]) -> str:
    """Name up to three tasks of a set."""
    names = [repr(task) for task in sorted(tasks)[:3]] + ["..."] * (len(tasks) > 3)
    if len(tasks) < 2:
        return f"task {names[0]}" if tasks else "nothing"
    return f"{len(tasks)} tasks ({', '.join(names)})"
