"""Recorded simulations, for repeating an attribution without an agent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from eef_framework.errors import AttributorFailure
from eef_framework.records import Response, State, SuccessRule, Task, Trajectory
from eef_framework.rollout.simulate import by_task

Start = tuple[str, int, tuple[str, ...]]


class RecordedSimulations:
    """Answers requests for simulations from a recording.

    Args:
        simulations: the recorded simulations.
        rule: the success rule.
        demonstrations: the expert's episodes, available to attributors.
        initial_simulations: maximum number of episodes of the agent from a task's initial state available to
            attributors, as of the `Simulator` that played them; None for all recorded ones.
    """

    def __init__(
        self,
        simulations: Sequence[Trajectory],
        rule: SuccessRule,
        demonstrations: Sequence[Trajectory] = (),
        initial_simulations: int | None = None,
    ) -> None:
        self.rule = rule
        self._demonstrations = by_task(demonstrations)
        self._initial_simulations = initial_simulations
        self._of: dict[Start, list[Trajectory]] = defaultdict(list)
        # In the order in which they are requested, which isn't that of their ids: 10 comes after 9.
        for simulation in sorted(simulations, key=_index):
            self._of[_start(simulation)].append(simulation)

    async def simulate(self, state: State, n: int) -> Sequence[Trajectory]:
        """Return n simulations from a state, without those that ended in an error.

        Raises:
            AttributorFailure: fewer were recorded.
        """
        where = state.trajectory or state.task.id
        found = self._of[where, state.length, state.inserted]
        if len(found) < n:
            raise AttributorFailure(
                f"{n} simulations from state {state.length} of {where!r} are needed, {len(found)} were recorded",
                "Attribute with the settings the simulations were made with, or explore again.",
                code="simulations-missing",
                trajectory=where,
                state=state.length,
                needed=n,
                recorded=len(found),
            )
        return [simulation for simulation in found[:n] if not simulation.lost]

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Refuse.

        Raises:
            AttributorFailure: there is no agent (`scoring-needs-agent`).
        """
        raise AttributorFailure(
            "actions can't be scored without an agent: simulations are read from a recording",
            "Explore again with this attributor.",
            code="scoring-needs-agent",
            task=state.task.id,
        )

    async def episodes(self, task: Task) -> Sequence[Trajectory]:
        """Return a task's demonstrations, and the recorded episodes from its initial state."""
        initial = self._of[task.id, 0, ()][: self._initial_simulations]
        return (*self._demonstrations[task.id], *(each for each in initial if not each.lost))


def _start(simulation: Trajectory) -> Start:
    origin = simulation.origin
    if origin is None:
        return simulation.task.id, 0, ()
    inserted = simulation.actions[origin.state - origin.inserted : origin.state]
    return origin.trajectory or simulation.task.id, origin.state, inserted


def _index(simulation: Trajectory) -> int:
    """Return the index among the simulations from one state, the last part of an id; 0 if it has another form."""
    index = simulation.id.rpartition("/")[2]
    return int(index) if index.isdecimal() else 0
