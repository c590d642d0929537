import pytest
from eef_attribution import plugin
from eef_attribution.interval import IntervalAttributor

from eef_framework.testing.conformance import check_attributor


def test_the_strategies_are_registered():
    registered = []
    plugin.register_attributors(registered.append)
    assert tuple(registered) == plugin.STRATEGIES
    assert len({cls.component_name() for cls in registered}) == len(registered)


@pytest.mark.parametrize("strategy", plugin.STRATEGIES, ids=lambda strategy: strategy.name)
def test_every_strategy_keeps_its_contract_with_its_defaults(strategy):
    check_attributor(strategy())


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
