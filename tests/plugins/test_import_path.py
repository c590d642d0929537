"""Classes named by their import path."""

import pytest
from eef_attribution.interval import IntervalAttributor

from eef_framework.errors import UnknownName
from eef_framework.plugins.import_path import import_class


@pytest.fixture
def idea(tmp_path, monkeypatch):
    """Return the name of a module with two classes of its own, and imported ones."""
    (tmp_path / "imported_idea.py").write_text(
        "from eef_attribution.interval import IntervalAttributor\n"
        "from eef_framework import Attributor, Environment\n"
        "class Mine(Attributor): ...\n"
        "class Wider(IntervalAttributor): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "imported_idea"


@pytest.mark.parametrize("given", ["Nothing", "IntervalAttribution"])
def test_only_classes_that_a_module_defines_are_proposed(idea, given):
    with pytest.raises(UnknownName) as caught:
        import_class(f"{idea}:{given}")
    assert sorted(caught.value.details["known"]) == ["Mine", "Wider"]


def test_a_class_that_a_module_imports_can_be_named(idea):
    assert import_class(f"{idea}:IntervalAttributor") is IntervalAttributor


def test_classes_of_a_package_are_those_of_its_modules():
    with pytest.raises(UnknownName) as caught:
        import_class("eef_framework.interfaces:Nothing")
    assert "Attributor" in caught.value.details["known"]
