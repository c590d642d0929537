from typing import get_args

import pytest
from pydantic import BaseModel

from eef_framework.config.merge import COMPONENTS, LayeredSettings, defaults, kind_at
from eef_framework.config.schema import RunConfig
from eef_framework.config.yaml_source import YamlSource
from eef_framework.errors import ConfigError


def overlay(**data):
    result = LayeredSettings(defaults())
    result.add(YamlSource(data))
    return result


def named_fields(model, key_path=()):
    """Yield the key path of every field that holds components."""
    for name, field in model.model_fields.items():
        here, annotation = (*key_path, name), field.annotation
        parts = [part for part in get_args(annotation) if part is not type(None)]
        annotation = parts[0] if len(parts) == 1 and annotation == parts[0] | None else annotation
        if "ComponentSpec" in repr(annotation):
            yield (*here, "*") if "tuple" in repr(annotation) else here
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from named_fields(annotation, here)


def test_every_component_of_the_tree_has_its_kind():
    assert set(named_fields(RunConfig)) == set(COMPONENTS)


def test_defaults_are_those_of_the_tree():
    data = defaults() | {"environment": "x", "expert": "y"}
    assert RunConfig.model_validate(data) == RunConfig(environment="x", expert="y")


def test_a_key_of_a_section_keeps_the_sections_other_defaults():
    data = overlay(evaluate={"sampling": {"max_tokens": 9}}).data
    assert data["evaluate"]["sampling"] == {**defaults()["evaluate"]["sampling"], "max_tokens": 9}
    assert data["evaluate"]["sampling"]["temperature"] == 0.0


def test_a_renamed_component_loses_its_settings():
    layers = overlay(attributor={"name": "interval", "probes": 5})
    layers.set("attributor", "last-good", "--set")
    assert layers.data["attributor"] == {"name": "last-good"}


def test_a_component_renamed_by_its_name_key_loses_its_settings():
    layers = overlay(attributor={"name": "interval", "probes": 5})
    layers.set("attributor.name", "last-good", "--set")
    assert layers.data["attributor"] == {"name": "last-good"}


def test_a_component_that_keeps_its_name_keeps_its_settings():
    layers = overlay(environment={"name": "shop", "products": 50, "pages": 3})
    layers.set("environment", "shop", "--env")
    layers.set("environment.products", 60, "--set")
    assert layers.data["environment"] == {"name": "shop", "products": 60, "pages": 3}


def test_a_setting_of_a_default_component_keeps_its_name():
    layers = overlay()
    layers.set("policy.model", "tiny", "--set")
    assert layers.data["policy"] == {"name": "transformers", "model": "tiny"}


def test_a_component_can_be_taken_away():
    layers = overlay(attributor={"name": "interval"})
    layers.set("attributor", None, "--set")
    assert layers.data["attributor"] is None


def test_items_of_lists_are_reached_by_index():
    layers = overlay(filters=["deduplicate", {"name": "cap", "per_task": 3}])
    layers.set("filters.1.per_task", 5, "--set")
    layers.set("filters.0.by", "text", "--set")
    assert layers.data["filters"] == [{"name": "deduplicate", "by": "text"}, {"name": "cap", "per_task": 5}]


def test_lists_are_replaced_as_a_whole():
    layers = overlay(baselines=["rft", "sft"])
    layers.add(YamlSource({"baselines": ["nat"]}))
    assert layers.data["baselines"] == ["nat"]


@pytest.mark.parametrize("path", ["filters.1.x", "filters.first.x", "filters.00000001"])
def test_an_index_outside_of_a_list_is_refused(path):
    with pytest.raises(ConfigError) as caught:
        overlay(filters=["cap"]).set(path, 1, "--set")
    assert (caught.value.code, caught.value.details["length"]) == ("no-such-index", 1)


@pytest.mark.parametrize("path", ["", ".", "a..b", "seed."])
def test_an_empty_path_is_refused(path):
    with pytest.raises(ConfigError) as caught:
        overlay().set(path, 1, "--set")
    assert (caught.value.code, caught.value.details) == ("invalid-path", {"given": path})


def test_the_last_source_of_a_key_is_the_one_named():
    layers = LayeredSettings(defaults())
    layers.add(
        YamlSource(
            {"explore": {"simulations": 2}}, {("explore",): "f, line 1", ("explore", "simulations"): "f, line 2"}
        )
    )
    assert layers.where(("explore", "simulations")) == "f, line 2"
    assert layers.where(("explore", "matched")) == "f, line 1"
    assert layers.where(("seed",)) == ""
    layers.set("explore.simulations", 3, "--set explore.simulations=3")
    assert layers.where(("explore", "simulations")) == "--set explore.simulations=3"
    assert layers.data["explore"]["simulations"] == 3


def test_overlaying_changes_no_source():
    source = YamlSource({"select": {"initial": False}})
    layers = LayeredSettings(defaults())
    layers.add(source)
    layers.set("select.initial", True, "--set")
    assert source.data == {"select": {"initial": False}}


@pytest.mark.parametrize(
    ("key_path", "kind"),
    [(("environment",), "environment"), (("filters", 3), "filter"), (("filters",), None), (("clone", "on"), None)],
)
def test_key_paths_of_components_are_known(key_path, kind):
    assert kind_at(key_path) == kind
