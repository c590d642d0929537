"""Digests of code that no version number describes: the user's own, which may change between two starts of a run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator

from eef_framework.interfaces import Component
from eef_framework.records import fingerprint

_OURS = __name__.partition(".")[0]
_INSTALLED = ("/site-packages/", "/dist-packages/")


def own_code(components: Iterable[Component]) -> dict[str, str]:
    """Return module -> digest of its source, for each module with a class of these components or a base of one.

    Modules of this package and of installed distributions are left out, since their versions are known; those installed
    in editable mode aren't. Of a notebook, or a script that is run, only the classes count: the rest may be anything.
    Code that these modules import isn't looked at.
    """
    classes = {cls for component in components for part in _parts(component) for cls in type(part).__mro__}
    own = {cls for cls in classes if issubclass(cls, Component) and cls.__module__.partition(".")[0] != _OURS}
    found = {}
    for cls in sorted(own, key=lambda each: (each.__module__, each.__qualname__)):
        is_program = cls.__module__ == "__main__"
        name = f"__main__:{cls.__qualname__}" if is_program else cls.__module__
        source = _source(cls if is_program else sys.modules.get(cls.__module__))
        if source:
            found[name] = f"source {fingerprint(source)}"
    return found


def _parts(component: Component) -> Iterator[Component]:
    """Yield a component and those that it holds, such as a strategy that another one wraps."""
    yield component
    for value in (component.__pydantic_private__ or {}).values():
        if isinstance(value, Component):
            yield from _parts(value)


def _source(code: object) -> str:
    """Return the source of a module or class; empty if it is an installed one, or has none."""
    try:
        if any(folder in inspect.getfile(code).replace("\\", "/") for folder in _INSTALLED):  # type: ignore[arg-type]
            return ""
        return inspect.getsource(code)  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return ""
