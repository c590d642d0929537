"""Classes in user code, named by their import path `module:Class`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from typing import Any

from eef_framework.errors import ConfigError, UnknownName, author_line
from eef_framework.interfaces import Component
from eef_framework.validation_messages import reason


def add_cwd_to_sys_path() -> None:
    """Make modules in the current folder importable, which console scripts don't do by default."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def import_class(path: str) -> Any:
    """Return the object at an import path `module:Class`.

    Raises:
        ConfigError: it can't be imported.
    """
    name, _, attribute = path.partition(":")
    if not name or not attribute:
        raise ConfigError(f"{path!r} isn't an import path", "Write it as module:Class.", code="not-an-import-path")
    if name.endswith(".py") or "/" in name or os.sep in name:
        meant = os.path.normpath(name.removesuffix(".py")).replace(os.sep, "/").lstrip("./").replace("/", ".")
        raise ConfigError(
            f"{path!r} names a file, expected a module",
            f"Write it as {meant}:{attribute}, in a folder from which Python can import {meant}.",
            code="not-an-import-path",
        )
    add_cwd_to_sys_path()
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as cause:
        where = author_line(cause)
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{name}.".startswith(f"{cause.name}."):
            raise ConfigError(
                f"there is no module {cause.name!r} (of {path!r})",
                f"Put {cause.name.replace('.', '/')}.py into the current folder ({os.getcwd()}), or install it.",
                code="no-such-module",
                module=cause.name,
            ) from cause
        raise ConfigError(
            f"importing {name!r} failed: {reason(cause)}{f' ({where})' if where else ''}",
            "Correct the module there." if where else "Correct the module.",
            code="module-failed",
            module=name,
            where=where,
        ) from cause
    if not hasattr(module, attribute):
        # Only its own: what it imports, such as a base class, is hardly meant.
        known = [each for each, value in vars(module).items() if isinstance(value, type) and _is_of(value, name)]
        raise UnknownName.of("class", attribute, known, where=f"in {getattr(module, '__file__', name)}")
    return getattr(module, attribute)


def check_complete(cls: type[Component], path: str) -> None:
    """Reject a class without a method of its interface, for example because of a misspelt name.

    Raises:
        ConfigError: a method is missing; the message names it and the class's nearest method.
    """
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if not missing:
        return
    own = [name for name, value in vars(cls).items() if callable(value) and not name.startswith("__")]
    near = {name: match for name in missing for match in difflib.get_close_matches(name, own, n=1)}
    found = "".join(f"; its method {match!r} looks like {name!r}" for name, match in near.items())
    where = f"{inspect.getsourcefile(cls)}, line {inspect.getsourcelines(cls)[1]}" if _has_source(cls) else ""
    raise ConfigError(
        f"{path!r} doesn't implement {', '.join(map(repr, missing))}{found}{f' ({where})' if where else ''}",
        "Write the method, or correct its name.",
        code="not-implemented",
        missing=missing,
        near=near,
        where=where,
    )


def class_given(cls: type[Any]) -> ConfigError:
    """Return the error for a class where an object of it was expected."""
    return ConfigError(
        f"expected an object, got the class {cls.__name__}",
        f"Give an object of it: {cls.__name__}().",
        code="class-given",
        given=cls.__name__,
    )


def _is_of(cls: type[Any], module: str) -> bool:
    """Return whether a class is defined in a module, or below it if it is a package."""
    return f"{cls.__module__}.".startswith(f"{module}.")


def _has_source(cls: type[Any]) -> bool:
    try:
        inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return False
    return True
