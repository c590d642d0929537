"""Which of an expert's actions helped, and how that was found out."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from eef_framework.records.base import Info, Record, VersionedRecord


class Verdict(StrEnum):
    """What a stretch of an expert's actions did to the agent's chances (arXiv 2504.13145, phase 3)."""

    BENEFICIAL = "beneficial"
    """The agent fails from the state before and succeeds from the state after."""
    HARMFUL = "harmful"
    """The agent succeeds from the state before and fails from the state after, which needs recovery."""
    NEUTRAL = "neutral"
    """Same outcome on both sides."""
    UNKNOWN = "unknown"
    """Not probed, or the evidence doesn't allow a verdict."""


class Segment(Record):
    """Consecutive actions of a trajectory, and the verdict on them."""

    start: int = Field(ge=0)
    """Index of the first action, which is also the state before the segment."""
    end: int = Field(gt=0)
    """Exclusive end index, which is also the state after the segment."""
    verdict: Verdict
    credit: float | None = None
    """How much the actions changed the agent's chances, where the strategy says so: the value after less the value
    before, from -1 to 1."""
    reason: str = ""
    """One line for a person who reads the report."""


class StateValue(Record):
    """The agent's chance of success from a state of a trajectory, as a strategy estimates it."""

    state: int = Field(ge=0)
    """Number of actions before it."""
    mean: float = Field(ge=0.0, le=1.0)
    low: float = Field(ge=0.0, le=1.0)
    """Lower end of its 95 % interval."""
    high: float = Field(ge=0.0, le=1.0)
    """Upper end of its 95 % interval."""
    n: int = Field(ge=0)
    """How many episodes it rests on."""


class Probe(Record):
    """A state of an expert trajectory that was simulated from, and what came of it. Recorded by the framework."""

    state: int = Field(ge=0)
    """Number of actions before it."""
    trajectory: str = ""
    """Id of the trajectory whose state it is, where that isn't the one under attribution."""
    inserted: tuple[str, ...] = ()
    """The last actions before it, where they are other ones than that trajectory's."""
    simulations: tuple[str, ...] = ()
    """Ids of the simulated trajectories."""
    successes: int = Field(default=0, ge=0)
    """How many of them succeeded."""


class Attribution(VersionedRecord):
    """Verdicts on all actions of one expert trajectory, with the evidence."""

    trajectory: str
    """Id of the expert trajectory."""
    length: int = Field(ge=0)
    """Its number of actions."""
    segments: tuple[Segment, ...] = ()
    """In order and without overlap. Actions that no segment covers are unknown."""
    probes: tuple[Probe, ...] = ()
    """In order of state."""
    values: tuple[StateValue, ...] = ()
    """What the strategy estimates states to be worth, where it says so; in order of state."""
    method: str = ""
    """Which strategy attributed: the attributor's registered name."""
    error: str = ""
    """Set when the attributor failed on this trajectory; all its actions are unknown then."""
    info: Info = Field(default_factory=dict)

    @model_validator(mode="after")
    def _segments_fit(self) -> Self:
        position = 0
        for segment in self.segments:
            if not position <= segment.start < segment.end <= self.length:
                raise ValueError(
                    f"segment {segment.start}..{segment.end} of trajectory {self.trajectory!r} is out of order, "
                    f"overlaps another, or leaves the {self.length} actions there are; segments are "
                    "half-open and sorted"
                )
            position = segment.end
        return self

    def verdict(self, action: int) -> Verdict:
        """Return the verdict on an action, given its index."""
        for segment in self.segments:
            if segment.start <= action < segment.end:
                return segment.verdict
        return Verdict.UNKNOWN

    @property
    def needing_recovery(self) -> tuple[int, ...]:
        """The states right after harmful segments."""
        return tuple(s.end for s in self.segments if s.verdict is Verdict.HARMFUL)
