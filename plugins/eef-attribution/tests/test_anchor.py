import asyncio

import pytest
from eef_attribution.anchor import AnchorAttributor
from eef_attribution.bisect import BisectAttributor
from eef_attribution.interval import IntervalAttributor
from eef_attribution.sequential import SequentialAttributor
from eef_attribution.visits import same
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.plugins import load_plugins
from eef_framework.records import Observation, Step
from eef_framework.rollout.attribution import attribution_of
from eef_framework.testing.simulate import ScriptedSimulate, demonstration


def episode(name, rooms, reward):
    seen = [Observation(text=room) for room in rooms]
    steps = tuple(Step(action="go", observation=each) for each in seen[1:])
    changes = {"id": f"eef/1/{name}", "actor": "agent/test", "initial": seen[0], "steps": steps, "reward": reward}
    return demonstration(0).changed(**changes)


EPISODES = [
    episode("a", ["room 0", "room 1", "room 2", "end"], 1.0),
    episode("b", ["room 0", "room 2", "end"], 1.0),
    episode("c", ["room 0", "room 1", "room 0", "end"], 0.0),
    episode("d", ["room 0", "room 1", "end"], 0.0),
]


def attributed(attributor, length=4, episodes=EPISODES, lost=lambda state, index: False):
    trajectory = demonstration(length)
    simulate = ScriptedSimulate(
        trajectory, lambda state, index: None if lost(state, index) else True, episodes=[trajectory, *episodes]
    )
    found = attribution_of(trajectory, asyncio.run(attributor.attribute(trajectory, simulate)))
    return found, dict(simulate.asked)


def test_a_state_is_worth_the_mean_outcome_of_the_episodes_that_came_by():
    found, asked = attributed(AnchorAttributor())
    # Room 0: all four, two of them won; room 1: a, c and d; room 2: a and b. Nobody acted in room 3.
    assert [(v.state, v.mean, v.n) for v in found.values] == [(0, 0.5, 4), (1, pytest.approx(1 / 3), 3), (2, 1.0, 2)]
    assert [(s.start, s.end, s.verdict.value) for s in found.segments] == [
        (0, 1, "neutral"),
        (1, 2, "beneficial"),
        (2, 4, "unknown"),
    ]
    assert found.segments[1].credit == pytest.approx(2 / 3)
    assert asked == {}


def test_states_with_too_few_visitors_are_passed_over():
    found, _ = attributed(AnchorAttributor(minimum=3))
    assert [value.state for value in found.values] == [0, 1]


def test_where_no_state_has_enough_visitors_all_is_unknown_and_says_why():
    found, _ = attributed(AnchorAttributor(minimum=9))
    assert [(s.start, s.end, s.verdict.value, bool(s.reason)) for s in found.segments] == [(0, 4, "unknown", True)]


def test_the_demonstration_counts_only_if_asked_for():
    found, _ = attributed(AnchorAttributor(episodes="all", minimum=1))
    assert [v.n for v in found.values] == [5, 4, 3, 1]


def test_without_episodes_of_the_agent_nothing_is_known():
    found, _ = attributed(AnchorAttributor(), episodes=[])
    assert ([segment.verdict.value for segment in found.segments], found.values) == (["unknown"], ())


def test_similar_observations_are_one_state_below_a_similarity_of_one():
    others = [episode("a", ["Room 0", "room 2", "end"], 1.0), episode("b", ["Room 0", "room 2", "end"], 0.0)]
    assert [value.state for value in attributed(AnchorAttributor(), episodes=others)[0].values] == [2]
    found, _ = attributed(AnchorAttributor(similarity=0.8), episodes=others)
    assert [value.state for value in found.values] == [0, 1, 2, 3]  # "room 0" and "room 2" are similar, too
    found, _ = attributed(AnchorAttributor(similarity=0.9), episodes=others)
    assert [value.state for value in found.values] == [2]


@given(text=st.text(max_size=12), other=st.text(max_size=12), similarity=st.floats(0.1, 1.0))
def test_similarity_is_symmetric_and_equal_texts_are_always_the_same(text, other, similarity):
    assert same(text, text, similarity)
    assert same(text, other, similarity) == same(other, text, similarity)


def test_as_a_prior_recorded_episodes_take_the_place_of_simulations():
    found, asked = attributed(IntervalAttributor(simulations=4, prior="anchor"))
    # State 0 has simulations of its own: they are the recorded episodes. Room 1 has three visitors, room 2 has two.
    assert asked == {0: 4, 1: 1, 2: 2, 3: 4}
    assert {value.state: (value.mean, value.n) for value in found.values}[1] == (0.5, 4)
    _, asked = attributed(IntervalAttributor(simulations=2, prior="anchor"))
    assert asked == {0: 2, 3: 2}


def test_with_a_prior_nothing_is_planned():
    assert IntervalAttributor(prior="anchor").planned_simulations(7) is None


def test_lost_simulations_are_not_replaced_by_a_prior():
    found, _ = attributed(IntervalAttributor(simulations=5, prior="anchor"), lost=lambda state, index: state == 1)
    # Room 1: three recorded episodes, one of them won; two simulations are lost, and could make it a majority.
    assert found.verdict(0).value == "unknown"


@pytest.mark.parametrize("n", [5, 8])
def test_with_a_prior_one_by_one_gives_the_same_verdicts(corridor, n):
    settings = {"name": "bisect", "simulations": n, "prior": "anchor"}
    whole = corridor.attribute(load_plugins().build("attributor", settings))
    saved = corridor.attribute(SequentialAttributor(strategy=settings, budget=10_000))
    assert [[s.verdict for s in each.segments] for each in saved] == [[s.verdict for s in e.segments] for e in whole]


def values_agree(corridor, attributions, margin):
    return [
        abs(corridor.chances(source)[value.state] - value.mean) < margin
        for attribution, source in zip(attributions, corridor.demonstrations, strict=True)
        for value in attribution.values
        if value.state < len(source.steps)
    ]


def test_in_the_corridor_values_are_near_the_true_ones_without_a_simulation(corridor):
    attributions = corridor.attribute(AnchorAttributor())
    assert all(probe == () for probe in (attribution.probes for attribution in attributions))
    agree = values_agree(corridor, attributions, 0.5)
    assert len(agree) > 20
    assert sum(agree) > 0.8 * len(agree)


def test_in_the_corridor_a_prior_saves_simulations(corridor):
    def played(**settings):
        return sum(
            len(probe.simulations)
            for attribution in corridor.attribute(BisectAttributor(simulations=4, **settings))
            for probe in attribution.probes
        )

    assert played(prior="anchor") < 0.9 * played()
