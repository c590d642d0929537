from pathlib import Path

import pytest

from eef_framework.config.loading import load_config
from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError, UnknownName
from eef_framework.pipeline import variants
from eef_framework.plugins import Registry, load_plugins


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def demo(registry: Registry, *overrides: str) -> RunConfig:
    return load_config("demo", overrides, {}, registry)


def test_a_baseline_differs_in_its_method_alone(registry: Registry) -> None:
    main, baseline = variants(demo(registry, "baselines=[rft-matched]"), registry)
    assert baseline.method == "rft-matched"
    assert (baseline.explore.attribute, baseline.explore.matched) == ("none", True)
    assert baseline.explore.sampling == main.explore.sampling
    for same in ("seed", "environment", "expert", "policy", "format", "collect", "clone", "tune", "evaluate"):
        assert getattr(baseline, same) == getattr(main, same)


def test_a_matched_baseline_matches_the_simulations_of_the_runs_own_attributor(registry: Registry) -> None:
    main, baseline = variants(demo(registry, "baselines=[rft-matched]", "attributor.probes=2"), registry)
    assert baseline.attributor == main.attributor
    assert main.attributor is not None
    assert main.attributor["probes"] == 2


def test_a_baseline_iterates_no_more_often_than_the_run(registry: Registry) -> None:
    assert [each.iterations for each in variants(demo(registry, "iterations=1"), registry)] == [1, 1]


def test_the_naive_baseline_clones_everything(registry: Registry) -> None:
    main, naive = variants(demo(registry, "baselines=[sft-all]"), registry)
    assert (main.clone.on, naive.clone.on, naive.iterations) == ("successes", "all", 0)
    assert naive.clone.trainer == main.clone.trainer


def test_a_baseline_of_ones_own_is_a_file_with_what_differs(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "bold.yaml"
    file.write_text("method: bold\nselect: {prefix_loss: all}\n")
    main, bold = variants(demo(registry, f"baselines=['{file}']"), registry)
    assert (bold.method, bold.select.prefix_loss) == ("bold", "all")
    assert bold.select.model_copy(update={"prefix_loss": "beneficial"}) == main.select


def test_a_baseline_that_extends_a_recipe_starts_from_it_and_not_from_the_run(
    tmp_path: Path, registry: Registry
) -> None:
    method = "method: wide\nattributor: {name: interval, probes: 12}\n"
    (tmp_path / "changed.yaml").write_text(method)
    (tmp_path / "extended.yaml").write_text(f"extends: eef\n{method}".replace("wide", "other"))
    files = [str(tmp_path / name) for name in ("changed.yaml", "extended.yaml")]
    own = ("explore.attribute=failures", "explore.simulations=3", "explore.sampling.temperature=0.5")
    main, changed, extended = variants(demo(registry, f"baselines={files}", *own), registry)
    assert (changed.explore, changed.attributor["probes"]) == (main.explore, 12)
    assert (extended.explore.attribute, extended.explore.simulations, extended.attributor["probes"]) == ("all", 1, 12)
    assert extended.explore.sampling == main.explore.sampling  # no recipe sets it


def adaptive(registry: Registry, *overrides: str) -> list[RunConfig]:
    given = ["environment=shop", "expert=shopper", *overrides]
    return variants(load_config("eef-adaptive", given, {}, registry), registry)


def test_methods_without_a_schedule_have_none_as_baselines_of_one_with_a_schedule(registry: Registry) -> None:
    for other in adaptive(registry, "baselines=[eef, rft, rft-matched, eto]")[1:]:
        assert other.explore.schedule is None


def test_the_recipe_eef_follows_the_papers_rules_beside_any_main_method(registry: Registry) -> None:
    main, eef, matched = adaptive(registry, "baselines=[eef, rft-matched]")
    assert (eef.select.prefix_loss, eef.select.solution, eef.explore.matched) == ("beneficial", "least-expert", False)
    assert matched.select.solution == main.select.solution  # the baseline gets the same treatment


def test_an_adaptive_baseline_has_the_main_methods_schedule_and_starts_from_initial_states(registry: Registry) -> None:
    main, baseline = adaptive(registry, "baselines=[rft-adaptive]", "explore.schedule.tries=5")
    assert main.explore.schedule is not None
    assert baseline.explore.schedule == main.explore.schedule
    assert (baseline.explore.attribute, baseline.explore.matched) == ("none", True)


def test_an_unknown_baseline_gets_a_suggestion(registry: Registry) -> None:
    with pytest.raises(UnknownName) as caught:
        variants(demo(registry, "baselines=[rft-match]"), registry)
    assert caught.value.details["given"] == "rft-match"


def test_two_methods_of_one_name_are_refused(registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        variants(demo(registry, "baselines=[eef]"), registry)
    assert (caught.value.code, caught.value.details["names"]) == ("two-methods-of-one-name", ["eef", "eef"])
