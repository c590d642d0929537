"""What selection did with a success."""

from __future__ import annotations

from typing import Literal

from eef_framework.records.base import VersionedRecord


class Selected(VersionedRecord):
    """What selection and filters did with one success of the expert or the agent; for pairs, with any attempt."""

    trajectory: str
    """Its id."""
    task: str
    """Id of its task."""
    source: str = ""
    """Why it was selected: `expert`, `agent`, `continuation`, `recovery`; `pair` if it is preferred to another attempt,
    `rejected` if another is preferred to it; empty if it wasn't."""
    outcome: Literal["learned", "filtered", "not-selected"]
    """Whether it is learned from; if not, whether a filter or selection left it out."""
    reason: str = ""
    """Name of the filter, or why it wasn't selected."""
    trained: tuple[int, ...] = ()
    """Indices of the actions that get loss."""
    masked: tuple[int, ...] = ()
    """Indices of the actions that stay in the context without loss."""
    left_out: tuple[int, ...] = ()
    """Indices of the actions that were left out because they made no difference."""
    weight: float = 0.0
    """Sum of the loss weights of its turns."""
