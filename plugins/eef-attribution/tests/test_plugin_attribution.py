import pytest
from eef_attribution import plugin
from eef_attribution.interval import IntervalAttributor

from eef_framework import load_plugins
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
    "settings",
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
def test_strategies_keep_their_contract_with_other_settings(settings):
    check_attributor(load_plugins().build("attributor", settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"probes": 1},
        {"probes": 9, "simulations": 3, "decide": "any"},
        {"simulations": 4, "decide": "significant"},
        {"simulations": 6, "decide": "sprt"},
    ],
)
def test_the_interval_attributor_keeps_its_contract(settings):
    check_attributor(IntervalAttributor(**settings))
