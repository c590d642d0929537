"""One strategy proposes segments, and simulations verify them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from pydantic import Field

from eef_attribution.comparing import SimulatingAttributor
from eef_attribution.evidence import CLAIMS, Decide, segment_between
from eef_attribution.spec import Spec
from eef_attribution.wrapping import WrappingAttributor
from eef_framework.interfaces import Simulate
from eef_framework.records import Evidence, Segment, StateValue, Trajectory, Verdict


class ProposeVerifyAttributor(WrappingAttributor, SimulatingAttributor):
    """Simulates before and after a few actions that a cheap strategy names, and nowhere else.

    ProVer (arXiv 2609.36178): a judge compares a success with failures and names one segment of at most four turns, 8
    rollouts before and after it verify that the success rate changes. Here any strategy can propose: `judge`, or one
    that costs nothing.
    """

    name: ClassVar[str] = "propose-verify"
    wrapped: ClassVar[str] = "proposer"

    proposer: Spec = Field(default_factory=lambda: {"name": "anchor"})
    """Name and settings of the strategy that proposes: its beneficial and harmful segments, those with the largest
    credit first."""
    proposals: int = Field(default=1, gt=0)
    """Most segments that are verified."""
    longest: int = Field(default=4, gt=0)
    """Longest segment, in actions; the end of a longer one is cut off."""
    simulations: int = Field(default=8, gt=0)
    """Number of simulations before and after each segment."""
    decide: Decide = "gap"
    """When a change is verified; `gap`: when the success rates differ by more than that."""
    gap: float = Field(default=0.25, ge=0.0, lt=1.0)
    """For `gap`: the largest difference of two success rates that counts as none. In the paper every rise counts (0),
    but the more simulations, the more often two equal rates differ a little."""

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory takes, from any states."""
        most = self._built.most_simulations(length)
        return None if most is None else most + 2 * self.proposals * self.simulations

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Ask the proposer, then simulate from the ends of what it named. If it named nothing, say why."""
        given = [part for part in await self._built.attribute(trajectory, simulate) if isinstance(part, Segment)]
        named = self._named_segments(given, len(trajectory.steps))
        if not named:
            return [self._without_proposal(part) for part in given if part.verdict is Verdict.UNKNOWN and part.reason]
        states = sorted({state for start, end, _ in named for state in (start, end)})
        outcomes = await self.outcomes(trajectory, states, simulate)
        verified = []
        for start, end, tokens in named:
            segment = segment_between(start, end, outcomes[start], outcomes[end], self.rule)
            if segment.evidence:
                evidence = segment.evidence.changed(tokens=segment.evidence.tokens + tokens)
                verified.append(segment.changed(evidence=evidence))
        return [*(outcomes[state].value(state) for state in states if outcomes[state].found), *verified]

    def _without_proposal(self, unknown: Segment) -> Segment:
        """Return the proposer's reason for naming nothing. Nothing else of it is verified."""
        evidence = Evidence(tokens=unknown.evidence.tokens) if unknown.evidence else None
        reason = f"no proposal by {self.proposer['name']!r}: {unknown.reason}"
        return Segment(start=unknown.start, end=unknown.end, verdict=Verdict.UNKNOWN, evidence=evidence, reason=reason)

    def _named_segments(self, given: Sequence[Segment], length: int) -> list[tuple[int, int, int]]:
        """Return (start, end, tokens) of the segments to verify."""
        ranked = sorted(
            (run for run in merged(given) if run.verdict in CLAIMS), key=lambda run: (-abs(run.credit or 0), run.start)
        )
        # No simulation sets out from the last state, so the last action can't be verified.
        cut = [
            (run.start, min(run.end, run.start + self.longest, length - 1), run.evidence.tokens if run.evidence else 0)
            for run in ranked
        ]
        return [each for each in cut if each[0] < each[1]][: self.proposals]


def merged(segments: Iterable[Segment]) -> list[Segment]:
    """Join neighbours with the same verdict; credits add up."""
    found: list[Segment] = []
    for segment in sorted(segments, key=lambda each: each.start):
        last = found[-1] if found else None
        if last and last.end == segment.start and last.verdict is segment.verdict is not Verdict.UNKNOWN:
            credit = (last.credit or 0.0) + (segment.credit or 0.0)
            found[-1] = last.changed(end=segment.end, credit=credit)
        else:
            found.append(segment)
    return found
