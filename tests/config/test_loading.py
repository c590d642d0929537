import json
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from eef_framework.config.loading import load_config, load_with_registry, read_recipe
from eef_framework.config.validation import components
from eef_framework.errors import ConfigError, EefError, UnknownName
from eef_framework.interfaces import Attributor
from eef_framework.pipeline import RunContext, variants
from eef_framework.plugins import Plugin, load_plugins
from eef_framework.records import Observation, Step, Task, Trajectory


class Halves(Attributor):
    """Tries the middle."""

    name: ClassVar[str] = "halves"

    simulations: int = 1

    async def attribute(self, trajectory, simulate):
        raise NotImplementedError


BASE = """\
# the method
method: halves
environment: corridor
expert: corridor-expert
policy: lookup
clone:
  trainer: lookup
attributor: {name: halves, simulations: 2}
explore:
  simulations: 3
"""


@pytest.fixture
def registry(tmp_path):
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "base.yaml").write_text(BASE)
    (recipes / "child.yaml").write_text("extends: base\nexplore: {matched: true}\nevaluate: {tasks: {count: 5}}\n")
    registry = load_plugins(["eef_framework.testing.plugin"], {})
    plugin = Plugin("mine")
    plugin.recipes = {path.stem: path for path in recipes.glob("*.yaml")}
    registry.add(plugin)
    registry.register(Halves)
    return registry


@pytest.fixture
def load(registry):
    def load(recipe="base", *overrides, **environ):
        return load_config(recipe, overrides, environ, registry)

    return load


def refused(load, *arguments, **environ):
    with pytest.raises(ConfigError) as caught:
        load(*arguments, **environ)
    return caught.value


@pytest.mark.parametrize("plugins", [["eef_framework.testing.plugin"], ("eef_framework.testing.plugin",)])
def test_without_a_registry_the_plugins_of_the_configuration_are_loaded(plugins, tmp_path):
    settings = {**yaml.safe_load(BASE), "attributor": None}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**settings, "plugins": list(plugins)}))
    config, registry = load_with_registry(str(tmp_path / "own.yaml"), environ={})
    assert [plugin.name for plugin in registry.plugins] == ["builtin", *plugins]
    assert load_config(settings, {"plugins": plugins}, {}).environment == config.environment
    with pytest.raises(UnknownName):
        load_config(settings, environ={})


def test_a_registry_that_is_given_is_used_whatever_plugins_are_listed(registry):
    assert load_with_registry("base", {"plugins": ["webshop"]}, {}, registry)[1] is registry


def test_a_recipe_is_found_by_name_and_by_path(load, registry):
    assert load("base") == load(registry.recipe("base")) == load(str(registry.recipe("base")))
    assert load("base").explore.simulations == 3


def test_a_recipe_builds_on_another(load):
    config = load("child")
    assert config.explore.simulations == 3
    assert config.explore.matched
    assert config.evaluate.tasks.split == "test"
    assert config.evaluate.tasks.count == 5


def test_a_recipe_builds_on_a_file_beside_it(load, tmp_path):
    (tmp_path / "own.yaml").write_text("extends: recipes/base.yaml\nseed: 7\n")
    config = load(tmp_path / "own.yaml")
    assert (config.seed, config.method) == (7, "halves")


def test_a_recipe_that_extends_itself_is_refused(load, tmp_path):
    (tmp_path / "a.yaml").write_text("extends: ./b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: ./a.yaml\n")
    error = refused(load, tmp_path / "a.yaml")
    assert error.code == "recipe-cycle"
    assert "a.yaml -> b.yaml -> a.yaml" in error.message


def test_extending_something_that_is_not_a_name_is_refused_with_its_line(load, tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\nextends: [base]\n")
    error = refused(load, tmp_path / "a.yaml")
    assert error.code == "extends-no-name"
    assert "a.yaml, line 2" in error.message


def test_later_sources_win(load):
    assert load("base").seed == 0
    assert load("base", EEF__seed="4").seed == 4
    assert load("base", "seed=5", EEF__seed="4").seed == 5
    assert load("base", "seed=5", "seed=6").seed == 6


def test_environment_variables_reach_every_setting(load):
    config = load("base", EEF__explore__simulations="8", EEF__EVALUATE__TASKS__COUNT="9", EEF_PLUGINS="a", EEFX="b")
    assert (config.explore.simulations, config.evaluate.tasks.count) == (8, 9)


def test_values_have_the_types_of_yaml(load):
    config = load(
        "base", "baselines=[]", "evaluate.expert=false", "limits.steps=null", "explore.sampling.temperature=1e-1"
    )
    assert config.baselines == ()
    assert config.evaluate.expert is False
    assert config.limits.steps is None
    assert config.explore.sampling.temperature == 0.1


def test_a_component_named_anew_loses_its_settings(load):
    assert load("base").attributor == {"name": "halves", "simulations": 2}
    other = f"{__name__}:Halves"
    assert load("base", "attributor.simulations=4").attributor == {"name": "halves", "simulations": 4}
    assert refused(load, "base", f"attributor={other}x").details["given"] == "Halvesx"


def test_a_missing_file_lists_the_recipes(load):
    error = refused(load, "nowhere.yaml")
    assert (error.code, error.details["path"]) == ("no-such-recipe", "nowhere.yaml")
    assert "base" in error.fix


def test_paths_of_baselines_are_relative_to_their_file_first(load, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    for file in ("own/bold.yaml", "bold.yaml", "here.yaml"):
        (tmp_path / file).write_text("method: bold\n")
    (tmp_path / "own/own.yaml").write_text("extends: base\nbaselines: [bold.yaml, here.yaml, base]\n")
    monkeypatch.chdir(tmp_path)
    beside, here = (str((tmp_path / file).resolve()) for file in ("own/bold.yaml", "here.yaml"))
    assert load("own/own.yaml").baselines == (beside, here, "base")
    assert load("own/own.yaml", "baselines=[bold.yaml]").baselines == (str((tmp_path / "bold.yaml").resolve()),)
    monkeypatch.chdir(tmp_path / "own")
    assert load("own.yaml", "baselines=[bold.yaml]").baselines == (beside,)


def test_a_component_in_place_of_settings_is_refused(load):
    for given in (Halves, Halves()):
        assert refused(load, given).code == "not-settings"


def test_an_unknown_recipe_gets_a_suggestion(load):
    with pytest.raises(UnknownName, match="'base'") as caught:
        load("bsae")
    assert caught.value.details["given"] == "bsae"


def test_an_unknown_key_gets_file_line_path_and_suggestion(load, tmp_path):
    (tmp_path / "own.yaml").write_text("extends: base\nexplore:\n  simulatoins: 2\n")
    error = refused(load, tmp_path / "own.yaml")
    assert (error.code, error.details["settings"]) == ("wrong-settings", ["explore.simulatoins"])
    for part in ("explore.simulatoins", "own.yaml, line 3", "'simulations'"):
        assert part in error.message


def test_an_unknown_key_on_the_command_line_is_named_as_it_was_given(load):
    error = refused(load, "base", "explore.simulatoins=2")
    assert (error.code, error.details["settings"]) == ("wrong-settings", ["explore.simulatoins"])
    for part in ("(--set explore.simulatoins=2)", "'simulations'"):
        assert part in error.message


def test_a_place_for_results_among_the_settings_is_pointed_to_its_option(load):
    error = refused(load, "base", "out=runs/mine")
    assert (error.code, error.details["settings"]) == ("wrong-settings", ["out"])
    assert "--out PATH" in error.fix


def test_an_unknown_environment_variable_is_named(load):
    assert "environment variable EEF__sed" in refused(load, "base", EEF__sed="2").message


def test_a_wrong_value_is_explained_with_its_source(load):
    error = refused(load, "base", "explore.simulations=-1")
    assert error.details == {"settings": ["explore.simulations"], "reasons": ["greater_than_equal"]}
    assert "(--set explore.simulations=-1)" in error.message


def test_an_override_without_a_value_is_explained(load):
    error = refused(load, "base", "explore.simulations")
    assert (error.code, error.details) == ("no-value", {"given": "explore.simulations"})


def test_an_override_that_is_not_yaml_is_explained(load):
    error = refused(load, "base", "baselines=[a")
    assert (error.code, error.details["path"]) == ("yaml-syntax", "--set baselines=[a")


def test_an_expert_that_is_missing_as_well_is_told_with_the_environment(load):
    error = refused(load, None)
    assert error.details["reasons"] == ["missing"]
    assert "expert=NAME" in error.fix


def test_a_missing_environment_lists_those_installed(load):
    error = refused(load, None, "expert=corridor-expert")
    assert (error.details["settings"], error.details["reasons"]) == (["environment"], ["missing"])
    assert "corridor" in error.fix


@pytest.mark.parametrize(
    ("override", "code", "detail", "words"),
    [
        ("environment=corridro", "unknown-name", ("given", "corridro"), "'corridor'"),
        ("expert.skil=0.5", "wrong-settings", ("settings", ["skil"]), "'skill'"),
        ("clone.trainer=lokup", "unknown-name", ("given", "lokup"), "'lookup'"),
        ("tune.trainer=lokup", "unknown-name", ("given", "lokup"), "'lookup'"),
        ("filters=[dedupilcate]", "unknown-name", ("given", "dedupilcate"), "'deduplicate'"),
        ("attributor={simulations: 1, name: havles}", "unknown-name", ("given", "havles"), "'halves'"),
        ("baselines=[bsae]", "unknown-name", ("given", "bsae"), "'base'"),
        ("baselines=[nowhere.yaml]", "no-such-recipe", ("path", "nowhere.yaml"), "'nowhere.yaml'"),
        ("attributor.simulations=some", "wrong-settings", ("reasons", ["int_parsing"]), "'some'"),
    ],
)
def test_misspelt_parts_are_found_before_anything_starts(load, override, code, detail, words):
    error = refused(load, "base", override)
    assert (error.code, error.details[detail[0]]) == (code, detail[1])
    assert words in error.message
    assert override.partition("=")[0].split(".")[0] in error.message or "baselines" in override


def test_a_component_is_named_with_its_source(load):
    assert "expert (--set expert.skil=0.5)" in refused(load, "base", "expert.skil=0.5").message


def test_components_are_listed_with_path_and_kind(load):
    found = {(path, kind): spec["name"] for path, kind, spec in components(load("base", "filters=[deduplicate]"))}
    assert found == {
        (("environment",), "environment"): "corridor",
        (("expert",), "expert"): "corridor-expert",
        (("policy",), "policy"): "lookup",
        (("clone", "trainer"), "trainer"): "lookup",
        (("attributor",), "attributor"): "halves",
        (("filters", 0), "filter"): "deduplicate",
    }


def test_a_resolved_configuration_has_every_setting_of_its_components(load, registry):
    config = load("base", "filters=[cap-per-task, deduplicate]", f"attributor={__name__}:Halves")
    with RunContext(config, registry) as context:
        data = context.resolved()
    assert data["expert"] == {"name": "corridor-expert", "skill": 0.65, "max_steps": 30}
    assert data["filters"][0].keys() > {"name"}
    assert data["attributor"] == {"name": f"{__name__}:Halves", "simulations": 1}
    assert data["clone"]["trainer"]["name"] == "lookup"


def test_a_resolved_configuration_is_that_of_the_same_run(load, registry, tmp_path):
    with RunContext(load("base"), registry) as context:
        data = context.resolved()
    (tmp_path / "resolved.yaml").write_text(yaml.safe_dump(data))
    with RunContext(load(tmp_path / "resolved.yaml"), registry) as context:
        assert context.resolved() == data


def test_a_recipe_alone_is_read_without_defaults(registry):
    data = read_recipe("child", registry).data
    assert data["explore"] == {"simulations": 3, "matched": True}
    assert "extends" not in data
    assert "limits" not in data


def test_keys_that_yaml_1_1_takes_for_booleans_are_words(registry, tmp_path):
    (tmp_path / "all.yaml").write_text("clone: {on: all}\n")
    assert read_recipe(tmp_path / "all.yaml", registry).data == {"clone": {"on": "all"}}


RECIPES = sorted((Path(__file__).parents[2] / "eef_framework" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_ships_is_in_order(path):
    overrides = [] if path.stem == "demo" else ["environment=shop", "expert=shopper"]
    assert load_config(path.stem, overrides, {}, load_plugins(environ={})).method


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_benchmarks_is_in_order(path):
    assert load_config(str(path), [], {}, load_plugins(environ={})).method


def test_every_ablation_of_the_benchmarks_is_another_method():
    paths = sorted((BENCHMARKS / "ablations").glob("*.yaml"))
    registry = load_plugins(environ={})
    config = load_config("demo", [f"baselines={json.dumps([str(path) for path in paths])}"], {}, registry)
    methods = {variant.method for variant in variants(config, registry)}
    assert len(methods) == len(paths) + 1 > 1


def test_shots_can_be_a_file_of_episodes_which_the_configuration_then_holds(load, tmp_path):
    task, start = Task(id="t", environment="corridor"), Observation(text="here")
    steps = (Step(action="right", observation=Observation(text="there")),)
    rows = [Trajectory(id="t", task=task, actor="me", initial=start, steps=each, reward=1.0) for each in (steps, ())]
    (tmp_path / "rows.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    config = load("base", f"format.shots={tmp_path / 'rows.jsonl'}", "format.style=action")
    assert config.format.shots == (("here", "right"),)


def test_a_file_of_shots_that_holds_none_is_refused_with_its_source(load, tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    error = refused(load, "base", f"format.shots={tmp_path / 'rows.jsonl'}")
    assert (error.code, error.details["path"]) == ("no-shots", str(tmp_path / "rows.jsonl"))
    assert "--set format.shots=" in error.message


def test_a_file_of_shots_that_is_not_there_is_named(load, tmp_path):
    with pytest.raises(EefError) as caught:
        load("base", f"format.shots={tmp_path / 'nowhere.jsonl'}")
    assert (caught.value.code, caught.value.details["path"]) == ("no-such-file", str(tmp_path / "nowhere.jsonl"))


def test_settings_of_a_trainer_that_is_null_are_those_of_cloning_with_changes(load):
    settings = {"environment": "corridor", "policy": "lookup", "clone": {"trainer": {"name": "lookup", "decay": 0.5}}}
    assert load(settings).tune.trainer is None
    config = load(settings, EEF__tune__trainer__decay="0.25")
    assert config.tune.trainer == {"name": "lookup", "decay": 0.25}
    assert config.clone.trainer == {"name": "lookup", "decay": 0.5}
    assert load({**settings, "tune": {"trainer": {}}}).tune.trainer == {"name": "lookup", "decay": 0.5}
    assert load({**settings, "tune": {"trainer": {"name": "lookup"}}}).tune.trainer == {"name": "lookup"}


def test_a_setting_of_the_executor_that_is_null_is_one_of_threads(load):
    config = load("base", "executor.threads=2")
    assert config.executor == {"name": "threads", "threads": 2}


def test_an_unknown_device_is_told_with_the_devices(load):
    with pytest.raises(ConfigError) as caught:
        load("base", "policy={name: transformers, model: tiny, device: gpu}")
    details = caught.value.details
    assert (caught.value.code, details["settings"], details["reasons"]) == (
        "wrong-settings",
        ["device"],
        ["unknown-device"],
    )
    assert "'cuda'" in caught.value.message
    assert "\\d" not in caught.value.message


def test_a_name_that_does_not_match_a_pattern_is_explained_by_its_help(load):
    with pytest.raises(ConfigError) as caught:
        load("base", "method=a/b")
    assert caught.value.details["settings"] == ["method"]
    assert caught.value.details["reasons"] == ["string_pattern_mismatch"]
    assert "pattern" not in caught.value.message
    assert "letters" in caught.value.message  # which characters are allowed


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("explore.simulations", {"explore": {"simulations": "two"}}),
        ("collect.tasks.count", {"collect": {"tasks": {"count": "x"}}}),
        ("collect.tasks.split", {"collect": {"tasks": {"split": ["train"]}}}),
    ],
)
def test_a_wrong_value_deep_in_a_mapping_is_not_blamed_on_the_recipe(load, key, section):
    error = refused(load, {"extends": "base", **section})
    assert error.details["settings"] == [key]
    assert "given in Python" in error.message
    assert ".yaml" not in error.message


def test_a_wrong_value_deep_in_an_override_is_named_with_the_override(load, tmp_path):
    (tmp_path / "own.yaml").write_text("extends: base\nexplore:\n  simulations: 2\n")
    error = refused(load, tmp_path / "own.yaml", "explore={simulations: two}")
    assert "(--set explore={simulations: two})" in error.message


def test_a_wrong_setting_of_a_component_in_a_mapping_is_not_blamed_on_the_recipe(load):
    error = refused(load, {"extends": "base", "tune": {"trainer": {"name": "sft", "steps": "a"}}})
    assert "given in Python" in error.message
    assert ".yaml" not in error.message
