"""Base class of the strategies that ask the agent's policy how probable actions are."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Evidence, Response, Segment, StateValue, Trajectory, Verdict


@dataclass(frozen=True)
class Score:
    """What the policy says of an action.

    Attributes:
        new: whether the action is one that the agent still has to learn.
        reason: one line for readers of the report.
    """

    new: bool
    reason: str


class ScoringAttributor(Attributor):
    """Calls an action beneficial if the agent wouldn't take it for certain, and neutral otherwise.

    That says what the agent doesn't know yet, not that it helps: such strategies are cheap proposers for
    `propose-verify`. They need a policy with log-probabilities.
    """

    threshold: float = Field(default=0.1, ge=0.0, le=1.0)

    @property
    def needs_scores(self) -> bool:
        """Always."""
        return True

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Ask the policy about all actions at once. If an answer is lost, the action is unknown."""
        return await asyncio.gather(*(self._judged(trajectory, k, simulate) for k in range(len(trajectory.steps))))

    def planned_simulations(self, length: int) -> dict[int, int]:
        """Return that nothing is simulated."""
        return {}

    @abstractmethod
    def actions(self, trajectory: Trajectory, state: int) -> Sequence[str]:
        """Return the actions to ask about in a state; none if nothing can be said."""

    @abstractmethod
    def score(self, logprobs: Sequence[float]) -> Score:
        """Return what the log-probabilities of these actions say of the action that was taken."""

    async def _judged(self, trajectory: Trajectory, k: int, simulate: Simulate) -> Segment:
        answers: Sequence[Response] = ()
        if actions := self.actions(trajectory, k):
            response = trajectory.steps[k].response
            try:
                answers = await simulate.score(k, actions, response.thought if response else "")
            except AttributorFailure as failure:
                if failure.code != "score-lost":
                    raise
        logprobs = [answer.logprob for answer in answers if answer.logprob is not None]
        if not answers or len(logprobs) < len(actions):
            return Segment(start=k, end=k + 1, verdict=Verdict.UNKNOWN, reason="no log-probabilities")
        score = self.score(logprobs)
        return Segment(
            start=k,
            end=k + 1,
            verdict=Verdict.BENEFICIAL if score.new else Verdict.NEUTRAL,
            evidence=Evidence(tokens=sum(answer.computed_tokens for answer in answers)),
            reason=score.reason,
        )
