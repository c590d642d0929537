import sys
from typing import ClassVar

import pytest
from pydantic import Field

from eef_framework.errors import ConfigError, PluginError, UnknownName
from eef_framework.interfaces import Filter
from eef_framework.plugins import Plugin, Registry, current_registry


class Cap(Filter):
    """Keeps a few."""

    name: ClassVar[str] = "cap"

    per_task: int = Field(default=3, gt=0)

    def apply(self, examples, seed):
        return examples[: self.per_task]


class OtherCap(Cap):
    pass


def plugin_with(*classes, name="mine", distribution="eef-mine"):
    plugin = Plugin(name, distribution, "1.0")
    for cls in classes:
        plugin.register("filter", cls)
    return plugin


@pytest.fixture
def registry():
    return Registry([plugin_with(Cap)])


def test_a_name_leads_to_its_class(registry):
    assert registry.get("filter", "cap") is Cap
    assert registry.names("filter") == ["cap"]
    assert registry.names("trainer") == []


@pytest.mark.parametrize("spec", ["cap", {"name": "cap"}, {"name": "cap", "per_task": 3}, Cap()])
def test_a_component_is_built_from_name_settings_or_itself(registry, spec):
    assert registry.build("filter", spec) == Cap(per_task=3)


def test_a_component_that_is_given_is_returned_as_it_is(registry):
    mine = Cap()
    assert registry.build("filter", mine) is mine


def test_building_leaves_the_spec_as_it_was(registry):
    spec = {"name": "cap", "per_task": 5}
    registry.build("filter", spec)
    assert spec == {"name": "cap", "per_task": 5}


def test_a_component_of_another_kind_is_refused(registry):
    with pytest.raises(ConfigError, match="is no trainer"):
        registry.build("trainer", Cap())


def test_a_spec_without_a_name_is_refused_with_the_names_there_are(registry):
    with pytest.raises(ConfigError, match="no name") as caught:
        registry.build("filter", {"per_task": 3})
    assert "cap" in caught.value.fix


def test_an_unknown_name_gets_a_suggestion(registry):
    with pytest.raises(UnknownName, match=r"there is no filter 'cpa'; did you mean 'cap'\?"):
        registry.get("filter", "cpa")


def test_an_unknown_name_of_ours_gets_the_package_to_install(registry):
    with pytest.raises(UnknownName) as caught:
        registry.get("environment", "shop")
    assert "pip install eef-webshop" in caught.value.fix


def test_an_unknown_name_that_a_broken_plugin_may_bring_says_so(registry):
    broken = Plugin("odd", "eef-odd", "0.1")
    broken.fail(ImportError("no libodd"))
    registry.add(broken)
    with pytest.raises(UnknownName) as caught:
        registry.get("filter", "oddity")
    assert "no libodd" in caught.value.fix
    assert "eef-odd 0.1" in caught.value.fix


def test_a_name_of_a_broken_plugin_raises_its_error(registry):
    class Odd(Cap):
        name: ClassVar[str] = "odd"

    broken = plugin_with(Odd, name="odd", distribution="eef-odd")
    broken.fail(ImportError("no libodd"))
    registry.add(broken)
    with pytest.raises(PluginError, match="no libodd"):
        registry.get("filter", "odd")
    assert registry.names("filter") == ["cap"]


def test_an_unknown_name_lists_installed_plugins_that_were_left_out():
    with pytest.raises(UnknownName) as caught:
        Registry(unselected=["webshop"]).get("filter", "cap")
    assert "left out by --plugins or EEF_PLUGINS: webshop" in caught.value.fix


def test_a_plugin_that_takes_another_ones_name_is_broken_and_the_first_stays(registry):
    registry.add(plugin_with(OtherCap, name="late", distribution="eef-late"))
    assert registry.get("filter", "cap") is Cap
    (broken,) = registry.broken
    assert broken.name == "late"
    assert "plugin 'late' (eef-late 1.0) registers filter 'cap', which plugin 'mine' (eef-mine 1.0)" in str(
        broken.error
    )


def test_a_recipe_name_that_is_taken_breaks_the_later_plugin(registry, tmp_path):
    first, second = Plugin("a"), Plugin("b")
    first.recipes["demo"] = second.recipes["demo"] = tmp_path
    registry.add(first)
    registry.add(second)
    assert [plugin.name for plugin in registry.broken] == ["b"]


def test_an_unknown_setting_gets_a_suggestion(registry):
    with pytest.raises(ConfigError) as caught:
        registry.build("filter", {"name": "cap", "per_tsak": 3})
    assert caught.value.message == "setting 'per_tsak' of filter 'cap' is unknown; did you mean 'per_task'?"
    assert "eef plugins cap" in caught.value.fix


def test_a_wrong_value_is_explained_in_plain_words(registry):
    with pytest.raises(ConfigError) as caught:
        registry.build("filter", {"name": "cap", "per_task": 0})
    assert caught.value.message == "setting 'per_task' of filter 'cap' must be greater than 0, not 0"


def test_all_mistakes_are_listed_at_once(registry):
    with pytest.raises(ConfigError) as caught:
        registry.build("filter", {"name": "cap", "per_task": "few", "color": "red"})
    assert len(caught.value.message.splitlines()) == 2


@pytest.fixture
def module_here(tmp_path, monkeypatch):
    (tmp_path / "my_own_filters.py").write_text(
        "from eef_framework.interfaces import Filter\n"
        "class Mine(Filter):\n"
        "    size: int = 1\n"
        "    def apply(self, examples, seed):\n"
        "        return examples\n"
        "NUMBER = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("my_own_filters", None)


@pytest.mark.usefixtures("module_here")
def test_an_import_path_leads_to_a_class_in_the_current_folder(registry):
    built = registry.build("filter", {"name": "my_own_filters:Mine", "size": 2})
    assert built.settings() == {"name": "my_own_filters:Mine", "size": 2}
    assert registry.build("filter", built.settings()) == built


@pytest.mark.usefixtures("module_here")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("my_own_filtres:Mine", "ModuleNotFoundError"),
        ("my_own_filters:Yours", "AttributeError"),
        ("my_own_filters:NUMBER", "is no filter"),
        (":", "can't be imported"),
    ],
)
def test_an_import_path_that_leads_nowhere_is_explained(registry, path, words):
    with pytest.raises(ConfigError, match=words):
        registry.get("filter", path)


def test_own_classes_can_be_registered(registry):
    class Mine(Cap):
        name: ClassVar[str] = "own"

    registry.register(Mine)
    assert registry.get("filter", "own") is Mine


def test_an_own_class_whose_name_is_taken_is_refused(registry):
    with pytest.raises(PluginError, match="registers already"):
        registry.register(OtherCap)


def test_an_own_class_that_is_no_component_is_refused(registry):
    with pytest.raises(PluginError, match="is no component"):
        registry.register(int)


class Pair(Filter):
    """Builds another filter."""

    name: ClassVar[str] = "pair"

    def model_post_init(self, context):
        self._inner = current_registry().build("filter", "cap")

    def apply(self, examples, seed):
        return self._inner.apply(examples, seed)


def test_a_component_builds_others_with_the_registry_that_builds_it():
    registry = Registry([plugin_with(Cap, Pair)])
    assert registry.build("filter", "pair")._inner == Cap()
    with pytest.raises(UnknownName):  # outside, it is the installed plugins, where there is no such filter
        Pair()


def test_a_failed_build_leaves_no_registry_behind():
    registry = Registry([plugin_with(Pair)])
    with pytest.raises(UnknownName):
        registry.build("filter", "pair")
    assert current_registry() is not registry
