import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from eef_framework import Attributor
from eef_framework.plugins.own_code import own_code
from eef_framework.testing.corridor import Corridor

SOURCE = """
from eef_framework import Attributor, Segment
{imports}

class {cls}({base}):
    name = "{cls}"

    async def attribute(self, trajectory, simulate):
        return [Segment(start=0, end=1, verdict={verdict!r})]
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module and import it anew."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, folder: str = "", **parts: str) -> ModuleType:
        path = tmp_path / folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        given = {"imports": "", "cls": "Mine", "base": "Attributor", "verdict": "beneficial"} | parts
        path.write_text(SOURCE.format(**given), encoding="utf-8")
        if folder:
            monkeypatch.syspath_prepend(str(path.parent))
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return write


def test_a_digest_changes_with_the_source_of_a_module(module):
    before = own_code([module("own_one").Mine()])
    assert list(before) == ["own_one"]
    assert own_code([module("own_one").Mine()]) == before
    assert own_code([module("own_one", verdict="harmful").Mine()]) != before


def test_modules_of_base_classes_count_too(module):
    module("own_base", cls="Base")
    component = module("own_derived", imports="from own_base import Base", base="Base").Mine()
    assert list(own_code([component])) == ["own_base", "own_derived"]


def test_strategies_that_another_one_wraps_count_too(module):
    module("own_inner")
    wrapping = pytest.importorskip("eef_attribution.sequential").SequentialAttributor(strategy="own_inner:Mine")
    assert "own_inner" in own_code([wrapping])


def test_code_with_a_version_is_left_out(module):
    assert own_code([Corridor(), module("own_installed", folder="site-packages").Mine()]) == {}


def test_of_a_program_only_the_class_counts(tmp_path):
    def digest(after: str, **parts: str) -> str:
        given = {"imports": "", "cls": "Mine", "base": "Attributor", "verdict": "beneficial"} | parts
        program = tmp_path / "program.py"
        program.write_text(f"{SOURCE.format(**given)}\n\n{after}\n", encoding="utf-8")
        return subprocess.check_output([sys.executable, program], text=True)

    show = "from eef_framework.plugins.own_code import own_code; print(own_code([Mine()]))"
    before = digest(show)
    assert "__main__:Mine" in before
    assert digest(f"seeds = 5\n{show}") == before
    assert digest(show, verdict="harmful") != before


def test_a_class_without_source_is_left_out():
    namespace = {"Attributor": Attributor, "__name__": "typed_in"}
    exec("class Typed(Attributor):\n    async def attribute(self, trajectory, simulate):\n        return []", namespace)
    assert own_code([namespace["Typed"]()]) == {}
