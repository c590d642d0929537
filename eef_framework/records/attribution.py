"""Attribution: which of an expert's actions helped, with the evidence."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from eef_framework.records.base import Info, Record, Text, VersionedRecord
from eef_framework.records.metrics import Cost


class Verdict(StrEnum):
    """Effect of consecutive expert actions on the agent's chances (arXiv 2504.13145, phase 3)."""

    BENEFICIAL = "beneficial"
    """The agent fails from the state before and succeeds from the state after."""
    HARMFUL = "harmful"
    """The agent succeeds from the state before and fails from the state after, which needs recovery."""
    NEUTRAL = "neutral"
    """Same outcome on both sides."""
    UNKNOWN = "unknown"
    """Not probed, or the evidence doesn't allow a verdict."""


class Evidence(Record):
    """What a verdict rests on. The interval is that of the credit, from -1 to 1."""

    simulations: int = Field(default=0, ge=0)
    """Number of episodes that were compared."""
    successes: int = Field(default=0, ge=0)
    """How many of them succeeded."""
    low: float = Field(default=-1.0, ge=-1.0, le=1.0)
    """Lower end of the credit's 95 % interval."""
    high: float = Field(default=1.0, ge=-1.0, le=1.0)
    """Upper end of the credit's 95 % interval."""
    tokens: int = Field(default=0, ge=0)
    """Tokens that models processed for it: the agent in its own steps of these episodes, a judge in its answers. An
    episode that several verdicts rest on counts for each of them."""


class Segment(Record):
    """Consecutive actions of a trajectory, and the verdict on them."""

    start: int = Field(ge=0)
    """Index of the first action, which is also the state before the segment."""
    end: int = Field(gt=0)
    """Exclusive end index, which is also the state after the segment."""
    verdict: Verdict
    credit: float | None = None
    """How much the actions changed the agent's chances, if the strategy estimates it: value after minus value before,
    from -1 to 1."""
    evidence: Evidence | None = None
    """What the verdict rests on, if the strategy reports it."""
    reason: str = ""
    """One line for readers of the report."""


class StateValue(Record):
    """The agent's chance of success from a state of a trajectory, as estimated by a strategy."""

    state: int = Field(ge=0)
    """Number of actions before it."""
    mean: float = Field(ge=0.0, le=1.0)
    low: float = Field(ge=0.0, le=1.0)
    """Lower end of its 95 % interval."""
    high: float = Field(ge=0.0, le=1.0)
    """Upper end of its 95 % interval."""
    n: int = Field(ge=0)
    """Number of episodes it is estimated from."""


class Probe(Record):
    """A state of an expert trajectory that was simulated from, and the outcome. Recorded by the framework."""

    state: int = Field(ge=0)
    """Number of actions before it."""
    trajectory: str = ""
    """Id of the trajectory that the state belongs to, if it isn't the one under attribution."""
    inserted: tuple[str, ...] = ()
    """The last actions before it, if they differ from that trajectory's."""
    simulations: tuple[str, ...] = ()
    """Ids of the simulated trajectories."""
    successes: int = Field(default=0, ge=0)
    """How many of them succeeded."""

    @property
    def elsewhere(self) -> bool:
        """Whether the state is one of another episode, not of the trajectory under attribution."""
        return bool(self.trajectory or self.inserted)


class Attribution(VersionedRecord):
    """Verdicts on all actions of one expert trajectory, with the evidence."""

    trajectory: str
    """Id of the expert trajectory."""
    length: int = Field(ge=0)
    """Its number of actions."""
    segments: tuple[Segment, ...] = ()
    """Sorted and without overlap. Actions that no segment covers are unknown."""
    probes: tuple[Probe, ...] = ()
    """Sorted by state."""
    values: tuple[StateValue, ...] = ()
    """The strategy's estimates of the values of states, if it makes any; sorted by state."""
    method: str = ""
    """Registered name of the attributor."""
    error: Text = ""
    """Set if the attributor failed on this trajectory; all its actions are then unknown."""
    cost: Cost = Cost()
    """Cost of scores and of a judge's answers. That of simulations is in their trajectories."""
    info: Info = Field(default_factory=dict)

    @model_validator(mode="after")
    def _segments_fit(self) -> Self:
        position = 0
        for segment in self.segments:
            if not position <= segment.start < segment.end <= self.length:
                raise ValueError(
                    f"segment {segment.start}..{segment.end} of trajectory {self.trajectory!r} is out of order, "
                    f"overlaps another, or leaves the {self.length} actions; segments are "
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
    def own_probes(self) -> tuple[Probe, ...]:
        """The states of this trajectory that were simulated from."""
        return tuple(probe for probe in self.probes if not probe.elsewhere)

    @property
    def needing_recovery(self) -> tuple[int, ...]:
        """The states right after harmful segments."""
        return tuple(s.end for s in self.segments if s.verdict is Verdict.HARMFUL)
