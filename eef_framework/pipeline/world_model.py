"""Implicit world modelling (arXiv 2510.08558): examples in which the observation after an action is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eef_framework.chat.format import ChatFormat
from eef_framework.config.schema import Select
from eef_framework.pipeline.episodes import distinct_states
from eef_framework.pipeline.solutions import Exploration, kept_explorations
from eef_framework.records import Example, State, StateId, SuccessRule, Trajectory


def expert_states(demonstrations: Sequence[Trajectory], rule: SuccessRule) -> list[State]:
    """Return the states of the expert's successes in which it acted, each once even if several episodes share it."""
    return distinct_states(filter(rule.holds, demonstrations))


def predictions(
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    settings: Select,
    rule: SuccessRule,
    format: ChatFormat,
    instructions: str,
) -> tuple[list[Example], dict[str, int]]:
    """Return examples of observations to predict, one for each action in each state.

    Args:
        demonstrations: the expert's trajectories; the actions of its successes are used.
        explorations: the explorations so far, in order, with the agent's alternatives.
        settings: `keep` sets which explorations.
        rule: the success rule.
        format: how states become conversations.
        instructions: the environment's instructions.

    Returns:
        The examples, and counts: those of actions of the `expert` and of the `agent`; actions that were `repeated` in
            the same state, such as the expert's own, and `blank` observations, which are both left out.
    """
    kept = kept_explorations(explorations, settings)
    counts = dict.fromkeys(("expert", "agent", "repeated", "blank"), 0)
    found: list[Example] = []
    seen: set[StateId] = set()
    for who, trajectory, state in (*_of_expert(demonstrations, rule), *_of_agent(kept)):
        key = trajectory.state_id(state + 1)
        example = None if key in seen else format.prediction(trajectory, state, instructions)
        counts["repeated" if key in seen else who if example else "blank"] += 1
        seen.add(key)
        if example is not None:
            found.append(example)
    return found, counts


def _of_expert(demonstrations: Sequence[Trajectory], rule: SuccessRule) -> Iterator[tuple[str, Trajectory, int]]:
    for trajectory in demonstrations:
        if rule.holds(trajectory):
            yield from (("expert", trajectory, state) for state in range(len(trajectory.steps)))


def _of_agent(explorations: Sequence[Exploration]) -> Iterator[tuple[str, Trajectory, int]]:
    for exploration in explorations:
        for tried in exploration.alternatives:
            yield from (("agent", tried, state) for state in range(tried.prefix_length, len(tried.steps)))
