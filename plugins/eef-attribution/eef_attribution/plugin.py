"""Registers the attribution strategies."""

from __future__ import annotations

from collections.abc import Callable

from eef_attribution.anchor import AnchorAttributor
from eef_attribution.bisect import BisectAttributor
from eef_attribution.controls import AllAttributor, NoneAttributor, RandomAttributor
from eef_attribution.entropy import EntropyAttributor
from eef_attribution.first_error import FirstErrorAttributor
from eef_attribution.interval import IntervalAttributor
from eef_attribution.judge import JudgeAttributor
from eef_attribution.likelihood import LikelihoodAttributor
from eef_attribution.montecarlo import MonteCarloAttributor
from eef_attribution.propose_verify import ProposeVerifyAttributor
from eef_attribution.score import ScoreAttributor
from eef_attribution.sequential import SequentialAttributor
from eef_attribution.substitute import SubstituteAttributor
from eef_framework.interfaces import Attributor
from eef_framework.plugins import hookimpl

STRATEGIES: tuple[type[Attributor], ...] = (
    IntervalAttributor,
    BisectAttributor,
    SequentialAttributor,
    AnchorAttributor,
    MonteCarloAttributor,
    SubstituteAttributor,
    ProposeVerifyAttributor,
    JudgeAttributor,
    FirstErrorAttributor,
    LikelihoodAttributor,
    EntropyAttributor,
    ScoreAttributor,
    NoneAttributor,
    AllAttributor,
    RandomAttributor,
)
"""The strategies of this distribution."""


@hookimpl
def register_attributors(register: Callable[[type[Attributor]], None]) -> None:
    """Register the strategies of this distribution."""
    for strategy in STRATEGIES:
        register(strategy)
