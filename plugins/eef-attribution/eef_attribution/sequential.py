"""Simulations one by one, for any strategy: only as many as its verdicts need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from eef_attribution.comparing import ComparingAttributor
from eef_attribution.evidence import Outcome, Played, outcome_of
from eef_attribution.spec import Spec
from eef_attribution.wrapping import WrappingAttributor
from eef_framework.interfaces import Simulate
from eef_framework.records import Response, Segment, State, StateValue, Trajectory, Verdict
from eef_framework.rollout import AwaitedSimulate

Key = tuple[str, int, tuple[str, ...]]

DEFAULT: dict[str, Any] = {"name": "bisect", "decide": "sprt", "simulations": 12, "alpha": 0.1}
"""The strategy that is wrapped by default."""


class SequentialAttributor(WrappingAttributor):
    """Gives another strategy its simulations one by one, and stops when its verdicts are clear.

    Sequential tests (Wald 1945) and thresholding bandits (arXiv 1905.11046): the next simulation starts from the state
    beside an unknown verdict whose success rate is least certain. What isn't clear when the budget is spent stays
    unknown.

    It relies on what every attributor has to do with lost simulations: a verdict that they could change is unknown.
    The strategy is asked again after every simulation, and treats those not played yet like lost ones. Reasons of
    verdicts count the two apart.
    """

    name: ClassVar[str] = "sequential"
    wrapped: ClassVar[str] = "strategy"

    strategy: Spec = Field(default_factory=lambda: dict(DEFAULT))
    """Name and settings of the strategy. Its `simulations` limit those from one state."""
    budget: int = Field(default=80, gt=0)
    """Number of simulations for a trajectory, those from its initial state included."""
    first: int = Field(default=1, gt=0)
    """Number of simulations from a state when it is first looked at."""

    @model_validator(mode="after")
    def _the_budget_covers_the_first_simulations(self) -> Self:
        if self.first > self.budget:
            raise PydanticCustomError(
                "first-above-budget",
                "first is {first} and budget is {budget}: the first state would take the whole budget, and not get its "
                "simulations; lower first, or raise budget",
                {"first": self.first, "budget": self.budget},
            )
        return self

    @model_validator(mode="after")
    def _it_stands_alone(self) -> Self:
        if any(isinstance(inner, SequentialAttributor) for inner in self.wrapped_strategies()):
            raise PydanticCustomError(
                "sequential-in-sequential",
                "the strategy of sequential contains another sequential: both would ration the same simulations; name "
                "the inner one's strategy instead, and set one budget",
            )
        return self

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory takes, from any states."""
        most = self._built.most_simulations(length)
        return self.budget if most is None else min(self.budget, most)

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Ask the strategy again and again, each time with one simulation more."""
        rationed = _RationedSimulate(simulate, self.budget, self.first, trajectory)
        watched = AwaitedSimulate(rationed)
        if isinstance(self._built, ComparingAttributor):
            rationed.known = await self._built.known(trajectory, simulate)
        while True:
            rationed.requested.clear()
            verdicts = await self._built.attribute(trajectory, watched)
            watched.require_awaited(self._built)
            found = list(verdicts)
            unknown = [s for s in found if isinstance(s, Segment) and self._is_open(s)]
            outcomes = {key: rationed.outcome(key) for key in rationed.unplayed()}
            open_keys = [key for key, outcome in outcomes.items() if not self._is_decided(outcome)]
            beside = [key for key in open_keys if any(rationed.is_beside(key, s) for s in unknown)]
            if rationed.left < 1 or not beside:
                return found
            await rationed.play_one(max(beside, key=lambda key: _uncertainty(outcomes[key])))

    def _is_open(self, segment: Segment) -> bool:
        # Strategies that compare states give evidence wherever they did; what comes after the last state stays unknown.
        rests_on_states = segment.evidence is not None or not isinstance(self._built, ComparingAttributor)
        return segment.verdict is Verdict.UNKNOWN and rests_on_states

    def _is_decided(self, outcome: Outcome) -> bool:
        return isinstance(self._built, ComparingAttributor) and self._built.decided(outcome)


class _RationedSimulate(Simulate):
    """The simulations that were played so far, for a strategy that asks for more.

    Attributes:
        left: number of simulations that may still be played.
        requested: how many simulations the strategy asked for, by state, in order.
        known: episodes that the strategy counts beside simulations, by state of the trajectory.
    """

    def __init__(self, simulate: Simulate, budget: int, first: int, trajectory: Trajectory) -> None:
        self.left = budget
        self.requested: dict[Key, int] = {}
        self.known: Mapping[int, Sequence[Trajectory]] = {}
        self._simulate = simulate
        self._first = first
        self._trajectory = trajectory
        self._states: dict[Key, int | State] = {}
        self._granted: dict[Key, int] = {}
        self._played: dict[Key, Sequence[Trajectory]] = {}
        self._scores: dict[tuple[Key, tuple[str, ...], str], Sequence[Response]] = {}

    async def __call__(self, state: int | State, n: int = 1) -> Sequence[Trajectory]:
        """Return the simulations from a state that were played so far; the first time, play some."""
        key = self._key(state)
        self.requested[key] = max(n, self.requested.get(key, 0))
        if key not in self._granted:
            self._states[key] = state
            self._grant(key, min(self._first, n, self.left))
        if key not in self._played:
            await self._play(key)
        granted = self._granted[key]
        # A request for fewer gets the first ones, too: another in place of a lost one could decide what that would not.
        runs = self._played.get(key, ()) if n >= granted else await self._simulate(self._states[key], n)
        return Played.of(runs, max(0, n - granted))

    async def play_one(self, key: Key) -> None:
        """Play one more simulation from a state."""
        self._grant(key, 1)
        await self._play(key)

    def unplayed(self) -> list[Key]:
        """Return the states from which fewer simulations were played than the strategy asked for."""
        return [key for key, n in self.requested.items() if self._granted[key] < n]

    def outcome(self, key: Key) -> Outcome:
        """Return the outcomes from a state so far, known episodes included."""
        known = self.known.get(key[1], ()) if self._is_own(key) else ()
        runs = Played.of(self._played.get(key, ()), self.requested[key] - self._granted[key])
        return outcome_of(self.requested[key] + len(known), [known, runs], self._simulate)

    def is_beside(self, key: Key, segment: Segment) -> bool:
        """Return whether simulations from a state may count for a segment; of another route, they may for any."""
        return not self._is_own(key) or segment.start <= key[1] <= segment.end

    async def score(self, state: int | State, actions: Sequence[str], thought: str = "") -> Sequence[Response]:
        """Return the answers by which the agent would take actions in a state; asked once, unless lost."""
        key = self._key(state), tuple(actions), thought
        if key not in self._scores:
            self._scores[key] = await self._simulate.score(state, actions, thought)
        return self._scores[key]

    def charge(self, response: Response) -> None:
        """Count an answer that a strategy requested itself in the costs."""
        self._simulate.charge(response)

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Return whether a trajectory is a success."""
        return self._simulate.succeeded(trajectory)

    async def episodes(self) -> Sequence[Trajectory]:
        """Return the recorded episodes of this task."""
        return await self._simulate.episodes()

    def _grant(self, key: Key, more: int) -> None:
        # Taken from the budget before anything is awaited, so that concurrent requests are served in order.
        self.left -= more
        self._granted[key] = self._granted.get(key, 0) + more

    async def _play(self, key: Key) -> None:
        # Concurrent requests for a state all wait here: the simulations are shared.
        if granted := self._granted[key]:
            self._played[key] = await self._simulate(self._states[key], granted)

    def _is_own(self, key: Key) -> bool:
        episode, _, inserted = key
        return not inserted and episode in ("", self._trajectory.id)

    def _key(self, state: int | State) -> Key:
        start = self._trajectory.at(state) if isinstance(state, int) else state
        return start.trajectory, start.length, start.inserted


def _uncertainty(outcome: Outcome) -> float:
    return outcome.rate.high - outcome.rate.low
