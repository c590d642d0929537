import sys
from importlib.metadata import EntryPoint

import pytest

from eef_framework.errors import PluginError, UnknownName
from eef_framework.plugins import discovery, load_plugins
from eef_framework.plugins.hookspecs import GROUP

GOOD = """
from typing import ClassVar
from eef_framework.interfaces import Filter
from eef_framework.plugins import hookimpl

class Keep(Filter):
    name: ClassVar[str] = "keep-{name}"
    def apply(self, examples, seed):
        return examples

@hookimpl
def register_filters(register):
    register(Keep)
"""
BAD = {
    "missing": "import a_library_that_nobody_has",
    "exits": "raise SystemExit('wrong platform')",
    "halfway": GOOD.format(name="halfway") + "    raise ValueError('no licence')\n",
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Two good plugins and three broken ones, and nothing else."""
    sources = {name: GOOD.format(name=name) for name in ("alpha", "beta")} | BAD
    entries = []
    for name, source in sources.items():
        (tmp_path / f"plug_{name}.py").write_text(source)
        entries.append(EntryPoint(name, f"plug_{name}", GROUP))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(discovery, "entry_points", lambda group: entries)
    yield
    for name in sources:
        sys.modules.pop(f"plug_{name}", None)


@pytest.mark.usefixtures("installed")
class TestInstalled:
    def test_broken_plugins_are_kept_with_their_cause_and_the_rest_works(self):
        registry = load_plugins(environ={})
        assert {"keep-alpha", "keep-beta"} <= set(registry.names("filter"))
        causes = {plugin.name: str(plugin.error) for plugin in registry.broken if plugin.name != "builtin"}
        assert set(causes) == set(BAD)
        assert "a_library_that_nobody_has" in causes["missing"]
        assert "wrong platform" in causes["exits"]
        assert "no licence" in causes["halfway"]

    def test_nothing_of_a_plugin_that_breaks_halfway_is_used_but_its_names_are_known(self):
        registry = load_plugins(environ={})
        with pytest.raises(PluginError, match="no licence"):
            registry.get("filter", "keep-halfway")

    def test_a_selection_loads_those_and_the_builtin_parts(self):
        registry = load_plugins(["beta"], {})
        assert [plugin.name for plugin in registry.plugins] == ["builtin", "beta"]
        assert "alpha" in registry.unselected
        assert "plug_missing" not in sys.modules

    def test_an_empty_selection_leaves_the_builtin_parts(self):
        assert [plugin.name for plugin in load_plugins([], {}).plugins] == ["builtin"]

    @pytest.mark.parametrize("text", ["alpha,beta", " alpha , beta,"])
    def test_the_environment_variable_selects(self, text):
        names = [plugin.name for plugin in load_plugins(environ={"EEF_PLUGINS": text}).plugins]
        assert names == ["builtin", "alpha", "beta"]

    def test_an_argument_wins_over_the_environment_variable(self):
        names = [plugin.name for plugin in load_plugins(["alpha"], {"EEF_PLUGINS": "beta"}).plugins]
        assert names == ["builtin", "alpha"]

    def test_a_misspelt_plugin_gets_a_suggestion(self):
        with pytest.raises(UnknownName, match=r"there is no plugin 'alpah'; did you mean 'alpha'\?"):
            load_plugins(["alpah"], {})

    def test_a_plugin_of_ours_that_is_not_installed_gets_the_package(self):
        with pytest.raises(UnknownName) as caught:
            load_plugins(["webshop"], {})
        assert caught.value.fix == "pip install eef-webshop"

    def test_asking_for_a_broken_plugin_raises_its_cause(self):
        with pytest.raises(PluginError, match="a_library_that_nobody_has"):
            load_plugins(["missing"], {})

    def test_a_module_that_is_not_installed_is_loaded_by_its_path(self):
        registry = load_plugins(["eef_framework.testing.plugin"], {})
        assert "corridor-expert" in registry.names("expert")


def test_the_builtin_parts_are_there_without_any_distribution(monkeypatch):
    monkeypatch.setattr(discovery, "entry_points", lambda group: [])
    assert [plugin.name for plugin in load_plugins(environ={}).plugins] == ["builtin"]


def test_the_builtin_parts_register_like_anyone_elses():
    registry = load_plugins([], {})
    assert not registry.broken, registry.broken
    assert "transformers" in registry.names("policy")
    assert "sft" in registry.names("trainer")
    assert {"demo", "eef", "rft", "sft"} <= set(registry.recipes)
