import pytest

from eef_framework.plugins.component_classes import component_classes


@pytest.mark.parametrize(
    ("imported", "base"),
    [
        ("from eef_framework import Attributor", "Attributor"),
        ("from eef_framework.interfaces import Filter as Base", "Base"),
        ("import eef_framework as eef", "eef.Environment"),
        ("import eef_framework.interfaces", "eef_framework.interfaces.Policy"),
        ("class Own(Middle): pass", "Own"),
        ("from my_other_module import Base", "Base"),
        ("from . import Base", "Base"),
        ("from my_other_module import *", "Anything"),
        ("import my_other_module", "my_other_module.Base[int]"),
        ("from enum import Enum", "make(Enum)"),
    ],
)
def test_classes_that_may_be_components_are_found(imported, base):
    assert component_classes(f"{imported}\nclass Mine({base}): pass".encode())[-1:] == ["Mine"]


@pytest.mark.parametrize(
    ("imported", "base"),
    [
        ("import enum", "enum.Enum"),
        ("from typing import Generic", "Generic[int]"),
        ("from eef_framework import Session", "Session"),
        ("from pydantic import BaseModel", "BaseModel"),
        ("class Plain: pass", "Plain"),
        ("class Error(Exception): pass", "Error"),
        ("", ""),
    ],
)
def test_other_classes_are_left_out(imported, base):
    assert component_classes(f"{imported}\nclass Mine({base}): pass".encode()) == []
