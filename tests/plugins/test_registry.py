import sys
from typing import ClassVar

import pytest
from pydantic import Field

from eef_framework.errors import ConfigError, PluginError, UnknownName
from eef_framework.interfaces import Filter
from eef_framework.plugins import Plugin, Registry, current_registry
from eef_framework.testing.conformance import check_component


class Cap(Filter):
    """Keeps a few."""

    name: ClassVar[str] = "cap"

    per_task: int = Field(default=3, gt=0)

    def apply(self, examples, seed):
        return examples[: self.per_task]


class OtherCap(Cap):
    pass


class Misspelt(Filter):
    """Its method has another name than the contract's."""

    def aply(self, examples, seed):
        return examples


FILTER = "from eef_framework.interfaces import Filter\nclass Mine(Filter):\n"
APPLY = "    def apply(self, examples, seed):\n        return examples\n"


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
    with pytest.raises(ConfigError) as caught:
        registry.build("trainer", Cap())
    assert caught.value.code == "wrong-kind"


def test_a_spec_without_a_name_is_refused_with_the_names_there_are(registry):
    with pytest.raises(ConfigError) as caught:
        registry.build("filter", {"per_task": 3})
    assert caught.value.code == "no-name"
    assert "cap" in caught.value.fix


def test_an_unknown_name_gets_a_suggestion(registry):
    with pytest.raises(UnknownName, match=r"there is no filter 'cpa'; did you mean 'cap'\?"):
        registry.get("filter", "cpa")


def test_an_unknown_name_gets_told_how_own_classes_are_named(registry):
    with pytest.raises(UnknownName) as caught:
        registry.get("filter", "Mine")
    assert "my_module:MyClass" in caught.value.fix
    with pytest.raises(UnknownName) as caught:
        registry.get("expert", "cap")
    assert caught.value.fix == "There is the filter 'cap'."


def test_a_class_in_place_of_an_object_is_refused(registry):
    for build in (lambda: registry.build("filter", Cap), lambda: check_component(Cap)):
        with pytest.raises(ConfigError) as caught:
            build()
        assert (caught.value.code, caught.value.details["given"]) == ("class-given", "Cap")


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
    assert (broken.error.code, broken.error.details) == ("name-taken", {"kind": "filter", "name": "cap"})


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
    ("path", "code"),
    [
        ("my_own_filtres:Mine", "no-such-module"),
        ("my_own_filters.more:Mine", "no-such-module"),
        ("my_own_filters:Yours", "unknown-name"),
        ("my_own_filters:NUMBER", "wrong-kind"),
        (":", "not-an-import-path"),
        ("my_own_filters:", "not-an-import-path"),
        ("my_own_filters.py:Mine", "not-an-import-path"),
        ("./my_own_filters:Mine", "not-an-import-path"),
    ],
)
def test_an_import_path_that_leads_nowhere_is_explained(registry, path, code):
    with pytest.raises(ConfigError) as caught:
        registry.get("filter", path)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("import json\nundefined\n", "module-failed", 2),
        ("import json\nfrom json import nothing\n", "module-failed", 2),
        ("import there_is_no_such_library\n", "module-failed", 1),
        ("import json\n\ndef f(:\n", "module-failed", 3),
        ("import sys\nsys.exit(2)\n", "module-failed", 2),
        (FILTER + "    def aply(self, examples, seed):\n        return examples\n", "not-implemented", 2),
        (FILTER + "    def model_post_init(self, context):\n        1 / 0\n" + APPLY, "component-not-built", 4),
    ],
)
def test_what_is_wrong_with_ones_own_module_is_told_with_its_line(registry, tmp_path, monkeypatch, source, code, line):
    (tmp_path / "wrong_filters.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "wrong_filters", raising=False)
    with pytest.raises(ConfigError) as caught:
        registry.build("filter", "wrong_filters:Mine")
    assert caught.value.code == code
    assert caught.value.details["where"] == f"{tmp_path / 'wrong_filters.py'}, line {line}"
    sys.modules.pop("wrong_filters", None)


def test_a_misspelt_method_is_told_beside_the_one_it_should_be(registry):
    with pytest.raises(ConfigError) as caught:
        registry.build("filter", f"{__name__}:Misspelt")
    assert caught.value.details["missing"] == ["apply"]
    assert caught.value.details["near"] == {"apply": "aply"}


def test_own_classes_can_be_registered(registry):
    class Mine(Cap):
        name: ClassVar[str] = "own"

    registry.register(Mine)
    assert registry.get("filter", "own") is Mine


def test_an_own_class_whose_name_is_taken_is_refused(registry):
    with pytest.raises(PluginError) as caught:
        registry.register(OtherCap)
    assert (caught.value.code, caught.value.details) == ("name-taken", {"kind": "filter", "name": "cap"})
    assert registry.broken == ()


def test_a_class_that_is_defined_again_replaces_the_one_before(registry):
    def cell():
        class Mine(Cap):
            name: ClassVar[str] = "own"

        registry.register(Mine)
        return Mine

    first, second = cell(), cell()
    assert registry.get("filter", "own") is second is not first


def test_two_own_classes_of_one_name_are_refused(registry):
    class Mine(Cap):
        name: ClassVar[str] = "own"

    class Other(Cap):
        name: ClassVar[str] = "own"

    registry.register(Mine, Mine)
    with pytest.raises(PluginError):
        registry.register(Other)
    assert registry.get("filter", "own") is Mine


def test_an_own_class_that_is_not_a_component_is_refused(registry):
    with pytest.raises(PluginError):
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
