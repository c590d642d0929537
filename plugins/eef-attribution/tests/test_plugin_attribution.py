import asyncio
import random

import pytest
from eef_attribution import plugin
from eef_attribution.interval import IntervalAttributor
from hypothesis import given, settings
from hypothesis import strategies as st

from eef_framework import SuccessRule, derive, load_plugins
from eef_framework.rollout import RecordedSimulations, attribute
from eef_framework.testing.conformance import check_attributor


def test_the_strategies_are_registered():
    registered = []
    plugin.register_attributors(registered.append)
    assert tuple(registered) == plugin.STRATEGIES
    assert len({cls.component_name() for cls in registered}) == len(registered)


@pytest.mark.parametrize("strategy", plugin.STRATEGIES, ids=lambda strategy: strategy.name)
def test_every_strategy_keeps_its_contract_with_its_defaults(strategy, judge, answers):
    answers("1: good\n2-4: mistake\nFirst mistake: 2")
    check_attributor(strategy(judge=judge) if "judge" in strategy.model_fields else strategy())


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "bisect", "prior": "anchor"},
        {"name": "interval", "prior": "anchor", "simulations": 3},
        {"name": "anchor", "similarity": 0.8, "episodes": "all", "minimum": 1, "decide": "majority"},
        {"name": "montecarlo", "baseline": "state", "simulations": 4, "decide": "significant"},
        {"name": "propose-verify", "proposer": {"name": "random", "beneficial": 0.5}, "proposals": 3},
        {"name": "sequential", "strategy": {"name": "montecarlo", "baseline": "state"}},
        {"name": "sequential", "strategy": {"name": "propose-verify", "proposer": "random"}},
        {"name": "random", "simulations": 2},
    ],
)
def test_strategies_keep_their_contract_with_other_settings(spec):
    check_attributor(load_plugins().build("attributor", spec))


@pytest.mark.parametrize(
    "fields",
    [
        {"probes": 1},
        {"probes": 9, "simulations": 3, "decide": "any"},
        {"simulations": 4, "decide": "significant"},
        {"simulations": 6, "decide": "sprt"},
    ],
)
def test_the_interval_attributor_keeps_its_contract(fields):
    check_attributor(IntervalAttributor(**fields))


SIMULATING = [
    {"name": "interval", "simulations": 3},
    {"name": "bisect", "simulations": 2, "decide": "any"},
    {"name": "bisect", "simulations": 4, "decide": "gap", "gap": 0.25},
    {"name": "montecarlo", "simulations": 2},
    {"name": "propose-verify", "proposer": {"name": "random", "beneficial": 0.5}, "proposals": 4, "simulations": 3},
    {"name": "sequential", "budget": 20},
    {"name": "sequential", "budget": 9, "strategy": {"name": "montecarlo", "simulations": 2, "baseline": "state"}},
]


@settings(max_examples=20)
@given(
    chances=st.lists(st.sampled_from([0.0, 0.3, 0.9, 1.0]), max_size=14),
    lost=st.sampled_from([0.0, 0.3, 0.9]),
    seed=st.integers(0, 9),
    spec=st.sampled_from(SIMULATING),
)
def test_credits_lie_in_their_intervals_and_evidence_is_what_was_simulated(tried, chances, lost, seed, spec):
    def is_lost(state, index):
        return random.Random(derive(seed, "lost", state, index)).random() < lost

    found = tried(load_plugins().build("attributor", spec), chances, seed, is_lost)
    for value in found.attribution.values:
        assert value.low <= value.mean <= value.high
        assert 0 < value.n <= found.played[value.state]
    for segment in found.attribution.segments:
        evidence = segment.evidence
        if evidence is not None:
            assert 0 <= evidence.successes <= evidence.simulations <= sum(found.played.values())
            assert evidence.low <= (segment.credit or 0.0) <= evidence.high
        if segment.verdict.value != "unknown":
            assert evidence is not None
            assert evidence.simulations > 0


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "anchor"},
        {"name": "bisect", "simulations": 5, "prior": "anchor"},
        {"name": "sequential"},
        {"name": "sequential", "strategy": {"name": "interval", "simulations": 12}},
        {"name": "montecarlo", "simulations": 3},
        {"name": "substitute"},
        {"name": "propose-verify", "proposer": {"name": "random", "beneficial": 0.5}},
    ],
)
def test_recorded_simulations_give_the_same_attributions_as_playing(corridor, spec):
    attributor = load_plugins().build("attributor", spec)
    played = corridor.attribute(attributor)
    # As runs record them: sorted by id, 10 before 2.
    rows = sorted(corridor.rows.rows, key=lambda row: row.id)
    recorded = RecordedSimulations(rows, SuccessRule(), corridor.demonstrations, initial_simulations=3)

    async def again():
        return [await attribute(attributor, each, recorded) for each in corridor.demonstrations]

    assert asyncio.run(again()) == played
