"""What a run tells before it starts."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eef_framework import run
from eef_framework.config.loading import load_config
from eef_framework.errors import EefWarning
from eef_framework.pipeline.plan import plan
from eef_framework.plugins import Registry, load_plugins
from eef_framework.testing.small_run import small_settings

SETTINGS = small_settings(expert={"name": "corridor-expert", "skill": 0.5})


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin", "attribution"], {})


@pytest.fixture
def told(registry: Registry, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Return the details of the warnings `verdicts-unused` of a plan with some settings."""

    def warned(**settings: Any) -> list[dict[str, Any]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plan(load_config(SETTINGS | settings, (), {}, registry), registry, tmp_path / "planned")
        found = [each.message for each in caught if isinstance(each.message, EefWarning)]
        return [each.details for each in found if each.code == "verdicts-unused"]

    return warned


def test_verdicts_without_effect_are_told_by_the_plan_the_run_and_its_results(
    registry: Registry, tmp_path: Path, told: Callable[..., list[dict[str, Any]]]
) -> None:
    assert told(attributor="all") == [{"method": "eef", "attributor": "all"}]
    with pytest.warns(EefWarning) as caught:
        done = run(SETTINGS | {"attributor": "all"}, registry, tmp_path / "run")
    (warning,) = [each.message for each in caught]
    assert isinstance(warning, EefWarning)
    assert warning.code == "verdicts-unused"
    assert "\n" not in str(warning)
    assert list(done.metrics.notes) == [str(warning)]
    assert done.attributions()
    without = run(SETTINGS, registry, tmp_path / "without")
    first, second = (each.layout.examples("eef", 1).read_bytes() for each in (done, without))
    assert first == second


@pytest.mark.parametrize(
    "attributor",
    ["none", "random", "anchor", "score", {"name": "sequential", "strategy": "score"}],
    ids=lambda attributor: attributor if isinstance(attributor, str) else attributor["name"],
)
def test_strategies_without_simulations_are_told(
    told: Callable[..., list[dict[str, Any]]], attributor: str | dict[str, Any]
) -> None:
    assert [each["method"] for each in told(attributor=attributor)] == ["eef"]


@pytest.mark.parametrize(
    "settings",
    [
        {"attributor": {"name": "all", "simulations": 1}},
        {"attributor": "interval"},
        {"attributor": {"name": "interval", "prior": "anchor"}},
        {"attributor": "montecarlo"},
        {"attributor": {"name": "propose-verify", "proposer": "anchor"}},
        {"attributor": "sequential"},
        {"attributor": "all", "iterations": 0},
        {"attributor": "all", "explore": {"attribute": "none"}},
        {"attributor": "all", "select": {"step_pairs": True}, "format": {"history": None}},
        {},
    ],
)
def test_nothing_is_told_where_verdicts_have_an_effect_or_nobody_asks_for_them(
    told: Callable[..., list[dict[str, Any]]], settings: dict[str, Any]
) -> None:
    assert told(**settings) == []


def test_each_method_is_told_apart(told: Callable[..., list[dict[str, Any]]], tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("method: judged\nattributor: score\n")
    found = told(attributor="interval", baselines=["rft", str(tmp_path / "own.yaml")])
    assert found == [{"method": "judged", "attributor": "score"}]
