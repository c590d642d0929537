"""Finds the classes of a Python file that may be components, without importing it."""

from __future__ import annotations

import ast
import builtins
import sys

from eef_framework.interfaces import Component


def component_classes(source: bytes) -> list[str]:
    """Return the names of the classes at the top level of a file that may be components, in order.

    Base classes are looked up in the modules that are loaded. A class with another base class may be a component.

    Raises:
        SyntaxError: it isn't Python.
        ValueError: it has zero bytes.
    """
    known: dict[str, object] = dict(vars(builtins))
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            for each in node.names:
                root = each.name.partition(".")[0]
                known[each.asname or root] = sys.modules.get(each.name if each.asname else root)
        elif isinstance(node, ast.ImportFrom):
            module = None if node.level else sys.modules.get(node.module or "")
            known |= {each.asname or each.name: getattr(module, each.name, None) for each in node.names}
        elif isinstance(node, ast.ClassDef):
            bases = [_value(base, known) for base in node.bases]
            fits = any(base is None or (isinstance(base, type) and issubclass(base, Component)) for base in bases)
            known[node.name] = Component if fits else object
            found += [node.name] * fits
    return found


def _value(node: ast.expr, known: dict[str, object]) -> object:
    """Return what an expression means, None if that isn't known."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, known), node.attr, None)
    return _value(node.value, known) if isinstance(node, ast.Subscript) else None
