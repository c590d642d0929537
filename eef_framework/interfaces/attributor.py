"""Attributor: finds out which actions of a trajectory helped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from eef_framework.interfaces.component import Component
from eef_framework.records import Cost, Observation, Response, Segment, State, StateValue, Trajectory


class Simulate(Protocol):
    """Plays the current agent from states of the trajectory under attribution or of any other episode."""

    async def __call__(self, state: int | State, n: int = 1) -> Sequence[Trajectory]:
        """Return n simulations from a state; asking again returns the same ones.

        Args:
            state: a number of actions of the trajectory under attribution (0 is the task's initial state), or any
                state: `episode.at(3)`, or `trajectory.at(3).after("click[back]")` for one that hasn't been visited.
            n: total number of simulations from this state.

        Returns:
            Whole trajectories, replayed prefix included. Those lost to an infrastructure failure are left out, so
            there may be fewer than n.

        Raises:
            IndexError: the trajectory has no such state, or it is its last one.
        """

    async def score(self, state: int | State, actions: Sequence[str], thought: str = "") -> Sequence[Response]:
        """Return the answers by which the current agent would take some actions, with their log-probabilities.

        No episode is played. `response.logprob` is under the distribution that simulations are sampled from; its last
        digits may differ from call to call. `response.logprobs` has one number for each token.

        Args:
            state: as for a simulation.
            actions: actions in this state, such as `trajectory.actions[3]`.
            thought: the thought before each action, in formats with thoughts.

        Returns:
            One answer per action, in order. The log-probability of one that can't be sampled is minus infinity.

        Raises:
            IndexError: the trajectory has no such state, or it is its last one.
            PolicyFailure: the policy, or the executor, can't score answers (`scoring-unsupported`).
            AttributorFailure: the score was lost (`score-lost`), or there is no agent, because simulations are read
                from a recording (`scoring-needs-agent`).
        """

    def charge(self, response: Response) -> None:
        """Count an answer that the attributor requested itself, such as a judge's, in the costs of the attribution.

        Simulations and scores are counted anyway.
        """

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Return whether a trajectory is a success under the run's rule."""

    async def success_rate(self, state: int | State, n: int = 1) -> float | None:
        """Return the fraction of n simulations from a state that succeed; None if all of them were lost.

        Args:
            state: as for a simulation.
            n: total number of simulations from this state.

        Raises:
            IndexError: the trajectory has no such state, or it is its last one.
        """
        runs = await self(state, n)
        return sum(map(self.succeeded, runs)) / len(runs) if runs else None

    async def episodes(self) -> Sequence[Trajectory]:
        """Return the recorded episodes of this task: its demonstrations, and the agent's from its initial state.

        Always the same ones in the same order, independent of what is played concurrently. Episodes lost to an
        infrastructure failure are left out.
        """


class Attributor(Component):
    """Attributor: divides a trajectory into beneficial, harmful and neutral segments.

    Many trajectories are attributed at once, each in its own coroutine: wait only with `await`. Await several
    simulations together (`asyncio.gather`) where they don't depend on one another. The framework records which
    simulations were requested and their outcomes.
    """

    @property
    def needs_scores(self) -> bool:
        """Whether it calls `simulate.score`. A run with a policy that can't score is then refused at once."""
        return False

    @abstractmethod
    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Return verdicts on the actions of a trajectory. Actions that no segment covers are unknown.

        Args:
            trajectory: an episode of the expert, or of the agent, of at least one action.
            simulate: plays the current agent from its states.

        Returns:
            Segments in any order, without overlap. May also include values of states, which are recorded.
        """

    def planned_simulations(self, length: int) -> dict[int, int] | None:
        """Return the number of simulations per state that a trajectory of this length needs.

        Used by `--dry-run` to estimate the length of a run. The actual number is counted during the run.

        Returns:
            State -> number of simulations; None if it isn't known in advance.
        """
        return None

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory of this length takes, from any states.

        Optional, where `planned_simulations` can't know: `--dry-run` then shows an upper bound in place of nothing.

        Returns:
            The number; None if there is no bound that is known in advance.
        """
        plan = self.planned_simulations(length)
        return None if plan is None else sum(plan.values())

    def expected_cost(self, initial: Sequence[Observation], lengths: Sequence[int]) -> Cost | None:
        """Estimate the tokens and dollars of answers that it requests itself before a run, from above.

        Optional: only attributors that ask a language model, such as a judge, do so. `--dry-run` shows it.

        Args:
            initial: first observations of some tasks.
            lengths: number of actions of each trajectory to attribute.

        Returns:
            The cost without simulations and scores; None if there is none, or it can't be told.
        """
        return None
