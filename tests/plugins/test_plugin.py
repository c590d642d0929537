import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from eef_framework.errors import PluginError
from eef_framework.interfaces import Attributor, Filter
from eef_framework.plugins import Plugin, hookimpl


class Keep(Filter):
    """Keeps everything."""

    name: ClassVar[str] = "keep"

    def apply(self, examples, seed):
        return examples


class Nameless(Keep):
    name: ClassVar[str] = ""


class Shouting(Keep):
    name: ClassVar[str] = "Keep_All"


class Unfinished(Filter):
    name: ClassVar[str] = "unfinished"


with warnings.catch_warnings(action="ignore"):  # pydantic warns here already

    class NameAsSetting(Keep):
        name: str = "field"


def registering(*classes):
    @hookimpl
    def register_filters(register):
        for cls in classes:
            register(cls)

    return SimpleNamespace(register_filters=register_filters)


def plugin():
    return Plugin("mine", "eef-mine", "1.2")


def test_what_a_plugin_registers_is_kept_by_kind_and_name():
    mine = plugin()
    mine.attach(registering(Keep))
    assert mine.components == {("filter", "keep"): Keep}


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Nameless, "Nameless with name ''"),
        (Shouting, "name 'Keep_All'"),
        (NameAsSetting, "NameAsSetting with name"),
        (Unfinished, "'unfinished', which doesn't implement apply"),
        (Attributor, "not a subclass of Filter"),
        (Keep(), "not a subclass of Filter"),
        ("keep", "not a subclass of Filter"),
    ],
)
def test_what_is_registered_wrongly_is_refused_with_plugin_and_distribution(cls, words):
    with pytest.raises(PluginError) as caught:
        plugin().attach(registering(cls))
    assert words in str(caught.value)
    assert "plugin 'mine' (eef-mine 1.2)" in str(caught.value)


def test_two_classes_of_one_name_are_refused():
    class Other(Keep):
        pass

    with pytest.raises(PluginError, match="two components as filter 'keep'"):
        plugin().attach(registering(Keep, Other))


def test_registering_one_class_twice_is_harmless():
    mine = plugin()
    mine.attach(registering(Keep, Keep))
    assert list(mine.components) == [("filter", "keep")]


def test_a_misspelt_hook_is_refused():
    @hookimpl
    def register_filtres(register):
        register(Keep)

    mine = plugin()
    with pytest.raises(Exception, match="register_filtres"):
        mine.attach(SimpleNamespace(register_filtres=register_filtres))


def test_a_module_without_hooks_is_refused_with_what_is_missing():
    def register_filters(register):
        register(Keep)

    with pytest.raises(PluginError, match="implements no hook") as caught:
        plugin().attach(SimpleNamespace(register_filters=register_filters))
    assert "@hookimpl" in caught.value.fix


def test_recipes_come_from_a_folder_or_by_name(tmp_path: Path):
    (tmp_path / "one.yaml").touch()
    (tmp_path / "two.yaml").touch()
    (tmp_path / "notes.txt").touch()

    @hookimpl
    def register_recipes(register):
        register(tmp_path)
        register({"three": tmp_path / "two.yaml"})

    mine = plugin()
    mine.attach(SimpleNamespace(register_recipes=register_recipes))
    assert mine.recipes == {
        "one": tmp_path / "one.yaml",
        "two": tmp_path / "two.yaml",
        "three": tmp_path / "two.yaml",
    }


@pytest.mark.parametrize("given", ["nowhere", {"lost": "nowhere.yaml"}])
def test_recipes_that_are_not_there_are_refused(tmp_path: Path, given):
    @hookimpl
    def register_recipes(register):
        register(tmp_path / given if isinstance(given, str) else given)

    with pytest.raises(PluginError, match="nowhere"):
        plugin().attach(SimpleNamespace(register_recipes=register_recipes))


def test_a_failure_is_told_with_its_cause():
    mine = plugin()
    mine.fail(ImportError("no module named 'py4j'"))
    assert str(mine.error).startswith(
        "plugin 'mine' (eef-mine 1.2) can't be loaded: ImportError: no module named 'py4j'"
    )
    assert isinstance(mine.error.__cause__, ImportError)


def test_commands_that_cannot_be_added_break_the_plugin_alone():
    @hookimpl
    def register_commands(cli):
        raise RuntimeError("no commands today")

    mine = plugin()
    mine.attach(SimpleNamespace(register_commands=register_commands))
    mine.add_commands(None)
    assert "no commands today" in str(mine.error)


def test_one_hook_takes_components_of_all_kinds():
    class Silent(Attributor):
        name = "silent"

        async def attribute(self, trajectory, simulate):
            return []

    @hookimpl
    def register_components(register):
        register(Keep, Silent)

    mine = plugin()
    mine.attach(SimpleNamespace(register_components=register_components))
    assert mine.components == {("filter", "keep"): Keep, ("attributor", "silent"): Silent}


def test_what_is_not_a_component_is_refused_by_the_hook_of_all_kinds():
    @hookimpl
    def register_components(register):
        register(Keep, int)

    with pytest.raises(PluginError):
        plugin().attach(SimpleNamespace(register_components=register_components))
