"""Spending: resources used while playing."""

from __future__ import annotations

from eef_framework.records.base import Record


class Spending(Record):
    """Resources used by episodes of the agent. Spendings can be added."""

    simulations: int = 0
    """Episodes, from initial and from intermediate states alike; those lost to a failure included."""
    tokens: int = 0
    """Tokens processed by the model while acting."""
    steps: int = 0
    """Environment steps, excluding replayed ones."""
    seconds: float = 0.0
    """Sum of the times of the episodes. They are played concurrently, so the wall-clock time is shorter."""

    def __add__(self, other: Spending) -> Spending:
        """Add two spendings field by field."""
        return Spending(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})
