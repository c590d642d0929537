import pytest
from eef_attribution import plugin
from eef_attribution.interval import IntervalAttributor

from eef_framework.testing.conformance import check_attributor


def test_the_strategies_are_registered():
    registered = []
    plugin.register_attributors(registered.append)
    assert [cls.component_name() for cls in registered] == ["interval"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"probes": 1},
        {"probes": 9, "simulations": 3, "decide": "majority"},
        {"simulations": 4, "decide": "significant"},
    ],
)
def test_the_interval_attributor_keeps_its_contract(settings):
    check_attributor(IntervalAttributor(**settings))
