from pathlib import Path

import pytest
from eef_attribution.interval import IntervalAttributor

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


def refused(registry: Registry, file: Path, text: str, *overrides: str) -> ConfigError:
    """Return the error for a baseline's file with this text."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        variants(demo(registry, f"baselines=['{file}']", *overrides), registry)
    return caught.value


def test_a_baseline_that_leaves_a_component_unnamed_changes_settings_of_the_runs_own(
    tmp_path: Path, registry: Registry
) -> None:
    file = tmp_path / "wide.yaml"
    file.write_text(
        "method: wide\nattributor: {probes: 12}\nclone: {trainer: {steps: 60}}\n"
        "tune: {trainer: {steps: 70}, world_model: {steps: 80}}\n"
    )
    own = (f"baselines=['{file}']", "attributor.simulations=3", "tune.trainer=null")
    main, wide = variants(demo(registry, *own), registry)
    assert wide.attributor == {**(main.attributor or {}), "probes": 12}
    assert wide.attributor["simulations"] == 3
    assert wide.clone.trainer == {**main.clone.trainer, "steps": 60}
    assert wide.tune.trainer == {**main.clone.trainer, "steps": 70}
    assert wide.tune.world_model == {**main.clone.trainer, "steps": 80}


def test_a_baseline_that_names_a_component_sets_all_of_it(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "wide.yaml"
    file.write_text("method: wide\nattributor: {name: interval, probes: 12}\n")
    _, wide = variants(demo(registry, f"baselines=['{file}']", "attributor.simulations=3"), registry)
    assert wide.attributor == {"name": "interval", "probes": 12}


def test_settings_of_an_object_cant_be_changed_by_a_baseline(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "wide.yaml"
    file.write_text("method: wide\nattributor: {probes: 12}\n")
    given = {"extends": "demo", "attributor": IntervalAttributor(probes=2), "baselines": [str(file)]}
    with pytest.raises(ConfigError) as caught:
        variants(load_config(given, registry=registry), registry)
    assert caught.value.code == "settings-of-an-object"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("atributor: {name: interval}", ["atributor"]),
        ("methd: b", ["methd"]),
        ("explore: {simulatons: 3}", ["explore.simulatons"]),
        ("iterations: -1", ["iterations"]),
        ("explore: 3", ["explore"]),
        ("tune: {trainer: {nam: sft}}", None),
        ("attributor: {probs: 2}", None),
    ],
)
def test_wrong_settings_of_a_baseline_are_refused_with_file_and_line(
    tmp_path: Path, registry: Registry, text: str, wrong: list[str] | None
) -> None:
    error = refused(registry, tmp_path / "b.yaml", f"method: b\n{text}\n")
    assert error.code == "wrong-settings"
    assert "b.yaml, line 2" in error.message
    assert wrong is None or error.details["settings"] == wrong


@pytest.mark.parametrize(
    ("text", "key"),
    [("seed: 4", "seed"), ("evaluate: {tasks: {count: 3}}", "evaluate"), ("environment: other", "environment")],
)
def test_a_baseline_that_differs_in_what_methods_share_is_refused(
    tmp_path: Path, registry: Registry, text: str, key: str
) -> None:
    error = refused(registry, tmp_path / "b.yaml", f"method: b\n{text}\n")
    assert (error.code, error.details["setting"]) == ("shared-setting", key)


def test_a_baseline_may_repeat_what_methods_share(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("extends: demo\nmethod: b\nattributor: {probes: 3}\nseed: 0\n")
    main, other = variants(demo(registry, f"baselines=['{file}']"), registry)
    assert (other.environment, other.attributor) == (main.environment, {**(main.attributor or {}), "probes": 3})


def test_a_baseline_of_a_run_is_found_from_any_folder(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.yaml").write_text("method: b\n")
    monkeypatch.chdir(tmp_path)
    config = demo(registry, "baselines=[b.yaml]")
    monkeypatch.chdir("/")
    assert [each.method for each in variants(config, registry)] == ["eef", "b"]


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
