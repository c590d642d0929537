import asyncio

import pytest
from eef_attribution.montecarlo import MonteCarloAttributor

from eef_framework.records import Observation, Origin, Response, Step
from eef_framework.rollout.attribution import attribution_of
from eef_framework.testing.conformance import check_attributor
from eef_framework.testing.simulate import demonstration


class Branches:
    """Simulations whose first own action is known, and what follows each of them."""

    def __init__(self, trajectory, after_expert, after_own, ended=()):
        self.trajectory, self.after_expert, self.after_own, self.ended = trajectory, after_expert, after_own, ended
        self.asked = []

    async def __call__(self, state, n=1):
        if isinstance(state, int):
            self.asked.append((state, n))
            return [self.run(state, f"s{state}/{i}", won) for i, won in enumerate(self.after_expert[state][:n])]
        self.asked.append((state.trajectory, n))
        return [self.run(state.length, f"{state.trajectory}+", self.after_own[state.trajectory])][:n]

    def run(self, state, name, won):
        own = Step(
            action="own",
            observation=Observation(text="elsewhere"),
            response=Response(text="own", computed_tokens=1),
            terminated=name in self.ended,
        )
        steps = (*self.trajectory.steps[:state], own)
        origin = Origin(trajectory=self.trajectory.id, state=state)
        return self.trajectory.changed(id=name, steps=steps, origin=origin, reward=float(won), actor="agent/test")

    def succeeded(self, trajectory):
        return trajectory.reward == 1.0

    async def episodes(self):
        return [self.trajectory]


def attributed(attributor, simulate):
    found = asyncio.run(attributor.attribute(simulate.trajectory, simulate))
    return attribution_of(simulate.trajectory, found)


def test_the_credit_is_the_value_after_the_experts_action_less_that_after_the_agents():
    simulate = Branches(
        demonstration(2),
        {0: [True, False], 1: [True, True]},
        {"s0/0": False, "s0/1": False, "s1/0": True, "s1/1": False},
    )
    found = attributed(MonteCarloAttributor(simulations=2), simulate)
    assert [(value.state, value.mean) for value in found.values] == [(0, 0.5), (1, 1.0)]
    (segment,) = found.segments  # the demonstration doesn't say that it ended: the last action stays open
    assert (segment.start, segment.credit, segment.verdict.value) == (0, 1.0, "beneficial")
    assert segment.evidence.simulations == 4


def test_the_outcome_of_an_ended_demonstration_is_the_value_of_its_last_state():
    trajectory = demonstration(1)
    trajectory = trajectory.changed(steps=(trajectory.steps[0].changed(terminated=True),))
    simulate = Branches(trajectory, {0: [True, True]}, {"s0/0": True, "s0/1": True})
    (segment,) = attributed(MonteCarloAttributor(simulations=2), simulate).segments
    assert (segment.credit, segment.verdict.value) == (-1.0, "harmful")


def test_compared_with_the_state_before_half_the_simulations_are_played(tried):
    cheap = tried(MonteCarloAttributor(simulations=3, baseline="state"), [0.0, 1.0, 1.0])
    assert cheap.played == {0: 3, 1: 3, 2: 3}
    assert cheap.verdicts == ["beneficial", "neutral", "unknown"]


@pytest.mark.parametrize("decide", ["sprt", "significant"])
def test_the_outcome_of_an_ended_demonstration_is_certain(decide):
    trajectory = demonstration(1)
    trajectory = trajectory.changed(steps=(trajectory.steps[0].changed(terminated=True),))
    attributor = MonteCarloAttributor(simulations=8, baseline="state", decide=decide)
    (segment,) = attributed(attributor, Branches(trajectory, {0: [True] * 8}, {})).segments
    assert (segment.verdict.value, segment.evidence.simulations) == ("harmful", 8 + 1)


def test_the_tokens_of_a_simulation_that_ends_with_its_first_action_count_once():
    simulate = Branches(
        demonstration(2), {0: [True] * 2, 1: [True] * 2}, {"s0/1": True, "s1/0": True, "s1/1": True}, {"s0/0"}
    )
    (segment,) = attributed(MonteCarloAttributor(simulations=2), simulate).segments
    # One token each: two simulations from state 0, of which one is continued, and two from state 1.
    assert segment.evidence.tokens == 2 + 1 + 2


@pytest.mark.parametrize(("gap", "verdict"), [(0.1, "beneficial"), (0.5, "neutral")])
def test_differences_within_the_gap_are_none(gap, verdict):
    simulate = Branches(demonstration(2), {0: [True, False], 1: [True, True]}, dict.fromkeys(["s0/0"], False))
    found = attributed(MonteCarloAttributor(simulations=2, gap=gap, baseline="state"), simulate)
    assert found.segments[0].verdict.value == verdict


def test_a_lost_simulation_leaves_a_verdict_open_that_it_could_change(tried):
    one_lost = tried(
        MonteCarloAttributor(simulations=2, baseline="state"), [0.0, 1.0, 0.0], lost=lambda s, i: (s, i) == (1, 0)
    )
    assert one_lost.verdicts[0] == "beneficial"  # 0 of 2 against at least 1 of 2
    two_lost = tried(MonteCarloAttributor(simulations=2, baseline="state"), [0.0, 1.0], lost=lambda s, i: s == 1)
    assert two_lost.verdicts[0] == "unknown"


def test_it_keeps_its_contract():
    check_attributor(MonteCarloAttributor(simulations=2))


@pytest.mark.parametrize("baseline", ["action", "state"])
def test_in_the_corridor_credits_are_near_the_true_advantages(corridor, baseline):
    chosen = corridor.demonstrations[:8]
    errors = []
    attributor = MonteCarloAttributor(simulations=8, baseline=baseline)
    for attribution, source in zip(corridor.attribute(attributor, chosen), chosen, strict=True):
        chances = corridor.chances(source)
        errors += [segment.credit - (chances[segment.end] - chances[segment.start]) for segment in attribution.segments]
    assert len(errors) > 20
    assert abs(sum(errors) / len(errors)) < 0.1  # unbiased
    assert sum(abs(error) < 0.4 for error in errors) > 0.9 * len(errors)
