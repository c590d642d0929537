"""What playing took: a budget, as it was spent."""

from __future__ import annotations

from eef_framework.records.base import Record


class Spending(Record):
    """What some episodes of the agent took. Spendings add up."""

    simulations: int = 0
    """Episodes, from initial and from intermediate states alike; those lost to a failure included."""
    tokens: int = 0
    """Tokens through the model while acting."""
    steps: int = 0
    """Environment steps, replayed ones not counted."""
    seconds: float = 0.0
    """Time of the episodes, added up; they are played at the same time, so the clock shows less."""

    def __add__(self, other: Spending) -> Spending:
        """Add two spendings field by field."""
        return Spending(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})
