"""Other actions in failed episodes: which would have led to success?"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import ClassVar

from pydantic import Field

from eef_attribution.asking import AskingAttributor
from eef_attribution.comparing import SimulatingAttributor
from eef_attribution.evidence import outcome_of
from eef_attribution.spec import Spec
from eef_attribution.visits import is_agents, same
from eef_framework.interfaces import Simulate
from eef_framework.records import Evidence, Segment, State, StateValue, Trajectory, Verdict

QUESTION = """\
Task: {task}

{attempt}

Then the agent chose: {action}
{admissible}The attempt failed. Which other action would have been best here?
Answer with one line and nothing else: `Action: ` and the action."""


class SubstituteAttributor(AskingAttributor, SimulatingAttributor):
    """Replaces an action of a failed episode, lets the agent finish, and keeps what turns failure into success.

    CSO (arXiv 2602.03412). Actions are exchanged between the episodes of a task, where they came by the same state:

    * for a demonstration, its actions are tried in the agent's failed episodes; those that turn one into a success are
      beneficial;
    * for a failed episode of the agent, the actions of demonstrations and those that a judge proposes are tried in
      it; where they lead to success, the agent's own action is harmful.

    It says nothing of actions that it didn't exchange, and never that one is neutral. Beneficial means better than what
    the agent did there, not that the state after is better than the one before.
    """

    name: ClassVar[str] = "substitute"
    one_state: ClassVar[bool] = True

    judge: Spec | None = None
    """Name and settings of an expert that is a language model. It proposes another action at every step of a failed
    episode of the agent. Without one, only actions of demonstrations are tried."""
    similarity: float = Field(default=1.0, gt=0.0, le=1.0)
    """1: states are the same if their observations are equal. Below: the least share of matching characters."""
    tries: int = Field(default=3, gt=0)
    """Most episodes that one action is tried in."""

    @property
    def shown_episodes(self) -> int:
        """Return that nothing is asked about demonstrations."""
        return 0

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory takes, from any states."""
        return self.simulations * self.tries * length

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Try all exchanges at once."""
        episodes = await simulate.episodes()
        unanswered: Sequence[Segment] = ()
        if is_agents(trajectory):
            demonstrations = [each for each in episodes if not is_agents(each)]
            exchanges: dict[int, list[State]] = {}
            if not simulate.succeeded(trajectory):
                exchanges, unanswered = await self._into(trajectory, demonstrations, simulate)
            verdict = Verdict.HARMFUL
        else:
            failures = [each for each in episodes if is_agents(each) and not simulate.succeeded(each)]
            exchanges, verdict = self._from(trajectory, failures), Verdict.BENEFICIAL
        tried = await asyncio.gather(
            *(self._tried(k, states[: self.tries], verdict, simulate) for k, states in sorted(exchanges.items()))
        )
        return [*tried, *(segment for segment in unanswered if segment.start not in exchanges)]

    async def _into(
        self, failure: Trajectory, demonstrations: Sequence[Trajectory], simulate: Simulate
    ) -> tuple[dict[int, list[State]], list[Segment]]:
        """Return action of the failure -> states after other actions in its place, and answers without a proposal."""
        found: dict[int, list[State]] = defaultdict(list)
        for demonstration in demonstrations:
            for k, j in self._shared(failure, demonstration):
                after = failure.at(k).after(demonstration.steps[j].action)
                if after not in found[k]:
                    found[k].append(after)
        unanswered = []
        if self.judge:
            proposals = await asyncio.gather(*(self._proposed(failure, k, simulate) for k in range(len(failure.steps))))
            for k, proposed in enumerate(proposals):
                if isinstance(proposed, Segment):
                    unanswered.append(proposed)
                elif failure.at(k).after(proposed) not in found[k]:
                    found[k].insert(0, failure.at(k).after(proposed))
        return {k: states for k, states in found.items() if states}, unanswered

    async def _proposed(self, failure: Trajectory, state: int, simulate: Simulate) -> str | Segment:
        """Return the judge's action in a state of a failed episode; if it proposes no other one, why."""
        seen = failure.observation(state)
        so_far = failure.changed(steps=failure.steps[:state])
        question = QUESTION.format(
            task=failure.task.instruction,
            attempt=self.steps_of(so_far),
            action=failure.steps[state].action,
            admissible=f"Possible actions: {', '.join(seen.actions)}\n" if seen.actions else "",
        )
        answer = await self.ask(question, simulate)
        action = read_action(answer.text)
        if action and action != failure.steps[state].action and seen.admits(action):
            return action
        return answer.unknown(state, state + 1, "proposed no other action that is possible")

    def _from(self, demonstration: Trajectory, failures: Sequence[Trajectory]) -> dict[int, list[State]]:
        """Return action of the demonstration -> states after it in failed episodes."""
        found: dict[int, list[State]] = defaultdict(list)
        for failure in failures:
            for k, j in self._shared(demonstration, failure):
                found[k].append(failure.at(j).after(demonstration.steps[k].action))
        return found

    def _shared(self, one: Trajectory, other: Trajectory) -> Iterable[tuple[int, int]]:
        """Yield the states that both came by, where they did different things."""
        for k, step in enumerate(one.steps):
            for j, theirs in enumerate(other.steps):
                text, seen = one.observation(k).text, other.observation(j).text
                if step.action != theirs.action and same(text, seen, self.similarity):
                    yield k, j

    async def _tried(self, action: int, states: Sequence[State], verdict: Verdict, simulate: Simulate) -> Segment:
        found = await asyncio.gather(*(simulate(state, self.simulations) for state in states))
        outcome = outcome_of(self.simulations * len(states), found, simulate)
        rate, sign = outcome.rate, 1 if verdict is Verdict.BENEFICIAL else -1
        return Segment(
            start=action,
            end=action + 1,
            verdict=verdict if outcome.solved(self.rule) else Verdict.UNKNOWN,
            credit=sign * rate.mean if outcome.found else None,
            evidence=Evidence(
                simulations=outcome.found,
                successes=outcome.successes,
                low=min(sign * rate.low, sign * rate.high),
                high=max(sign * rate.low, sign * rate.high),
                tokens=outcome.tokens,
            ),
            reason=f"agent: {outcome} after an exchange with another episode",
        )


def read_action(text: str) -> str:
    """Return the action in a judge's answer: what follows the last `Action:`, or the whole of a single line."""
    lines = [line.strip(" `*") for line in text.splitlines() if line.strip(" `*")]
    labelled = [line.partition(":")[2].strip(" `*") for line in lines if line.lower().startswith("action")]
    return labelled[-1] if labelled else lines[0] if len(lines) == 1 else ""
