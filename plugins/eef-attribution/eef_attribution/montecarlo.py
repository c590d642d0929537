"""The value of every step, by simulations after it and after what the agent would have done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from eef_attribution.comparing import SimulatingAttributor
from eef_attribution.evidence import Decide, Outcome, compare, not_played, outcome_of, segment_between, tokens_of
from eef_framework.interfaces import Simulate
from eef_framework.records import Segment, StateValue, Trajectory


class MonteCarloAttributor(SimulatingAttributor):
    """The success rate after the expert's action less the one after the agent's own, for every action.

    IPR (arXiv 2406.11176): step rewards by Monte Carlo rollouts, compared between the expert's action and
    the agent's from the same history. It costs about 2 n simulations for each action.
    """

    name: ClassVar[str] = "montecarlo"

    simulations: int = Field(default=5, gt=0)
    """Number of simulations after each action."""
    decide: Decide = "gap"
    """How outcomes are compared."""
    gap: float = Field(default=0.1, ge=0.0, lt=1.0)
    """For `gap`: the largest difference of two success rates that counts as none (IPR: 0.01 on WebShop, 0.1 on
    ScienceWorld)."""
    baseline: Literal["action", "state"] = "action"
    """What the expert's action is compared with. `action`: the agent's own actions there, each followed by a simulation
    of its own. `state`: the agent's simulations from the state before. Their expected values are the same; `state`
    costs half as much, and `action` names actions that are better or worse."""

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory takes, from any states."""
        return self.simulations * length * (1 if self.baseline == "state" else 2)

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Simulate from all states at once, and from what the agent does there."""
        states = range(len(trajectory.steps))
        values = await self.outcomes(trajectory, states, simulate)
        own = await asyncio.gather(*(self._own(state, values[state], simulate) for state in states))
        # What comes after the last action is known without a simulation.
        if trajectory.steps and trajectory.steps[-1].done:
            values[len(trajectory.steps)] = Outcome(1, 1, int(simulate.succeeded(trajectory)))
        segments = [
            segment_between(state, state + 1, before, values[state + 1], self.rule)
            for state, before in enumerate(own)
            if state + 1 in values
        ]
        if len(trajectory.steps) in values:
            # Certain, so that as many simulations as there can be would all have ended like that.
            certain = Outcome(self.simulations, self.simulations, self.simulations * simulate.succeeded(trajectory))
            segments[-1] = segments[-1].changed(verdict=compare(own[-1], certain, self.rule))
        return [*(outcome.value(state) for state, outcome in values.items() if outcome.found), *segments]

    async def _own(self, state: int, value: Outcome, simulate: Simulate) -> Outcome:
        """Return the outcomes after the agent's own actions in a state, one for each simulation from there."""
        if self.baseline == "state":
            return value
        runs = await simulate(state, self.simulations)
        after = await asyncio.gather(*(self._after(run, state + 1, simulate) for run in runs))
        found = outcome_of(self.simulations, after, simulate)
        episodes = {episode.id: episode for batch in (runs, *after) for episode in batch}
        # A simulation that wasn't played isn't continued either.
        return replace(found, tokens=tokens_of(episodes.values()), not_played=found.not_played + not_played(runs))

    async def _after(self, run: Trajectory, state: int, simulate: Simulate) -> Sequence[Trajectory]:
        over = len(run.steps) < state or run.steps[state - 1].done
        return [run] if over else await simulate(run.at(state))
