import pytest

from eef_framework.plugins import load_plugins
from eef_framework.plugins.distributions import DISTRIBUTIONS, distribution_of


@pytest.mark.parametrize("distribution", sorted(DISTRIBUTIONS))
def test_what_our_distributions_register_is_known(distribution):
    registered = {
        name
        for plugin in load_plugins(environ={}).plugins
        if plugin.distribution == distribution
        for _, name in plugin.components
    }
    if not registered:
        pytest.skip(f"{distribution} is not installed")
    assert registered <= DISTRIBUTIONS[distribution]


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("shop", "eef-webshop"), ("sciworld", "eef-sciworld"), ("attribution", "eef-attribution")],
)
def test_a_name_leads_to_its_distribution(name, distribution):
    assert distribution_of(name) == distribution


def test_a_strangers_name_leads_nowhere():
    assert distribution_of("chess") is None
