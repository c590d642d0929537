"""Registers the attribution strategies."""

from __future__ import annotations

from collections.abc import Callable

from eef_attribution.bisect import BisectAttributor
from eef_attribution.interval import IntervalAttributor
from eef_attribution.sequential import SequentialAttributor
from eef_framework.interfaces import Attributor
from eef_framework.plugins import hookimpl

STRATEGIES: tuple[type[Attributor], ...] = (IntervalAttributor, BisectAttributor, SequentialAttributor)


@hookimpl
def register_attributors(register: Callable[[type[Attributor]], None]) -> None:
    """Register the strategies of this distribution."""
    for strategy in STRATEGIES:
        register(strategy)
