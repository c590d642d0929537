"""`eef check`: does a part keep its contract, and is a file of records in order?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from eef_framework.cli.options import PluginList, selected
from eef_framework.cli.phases import say
from eef_framework.cli.records import record_of
from eef_framework.config.document import parse_value
from eef_framework.errors import ConfigError, UnknownName
from eef_framework.plugins import Kind, Registry, load_plugins
from eef_framework.plugins.kinds import KINDS, kind_of
from eef_framework.plugins.registry import import_class
from eef_framework.runs import read_rows


def check(
    target: Annotated[
        str, typer.Argument(metavar="NAME_OR_FILE", help="A part (`shop`, `my_module:MyClass`), or a .jsonl file.")
    ],
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Which part is meant, if several have the name.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="A setting of the part. Repeatable.")
    ] = None,
    plugins: PluginList = None,
) -> None:
    """Check that a part keeps the contract of its kind, or that every row of a file can be read."""
    if Path(target).is_file():
        rows = sum(1 for _ in read_rows(Path(target), record_of(Path(target))))
        say(f"{target}: {rows} rows in order")
        return
    registry = load_plugins(selected(plugins))
    found = _kind(registry, target, kind)
    component = registry.build(found, {"name": target, **dict(map(_setting, settings or []))})
    with component:
        _check_of(found)(component)
    say(f"{found} {target!r} keeps its contract")


def _kind(registry: Registry, name: str, kind: str | None) -> Kind:
    if ":" in name:
        return kind_of(import_class(name))
    kinds: list[Kind] = [each for each in KINDS if kind in (None, each) and name in registry.names(each)]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise ConfigError(f"{name!r} is the name of several parts: {', '.join(kinds)}", "Say which with --kind.")
    raise UnknownName.of("part or file", name, {part for each in KINDS for part in registry.names(each)})


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r} has no `=`", "Write --set key=value.")
    return key.strip(), parse_value(value, f"--set {text}")


def _check_of(kind: Kind) -> Callable[[Any], None]:
    from eef_framework.testing import conformance

    checks: dict[Kind, Callable[[Any], None]] = {
        "environment": conformance.check_environment,
        "attributor": conformance.check_attributor,
    }
    if kind not in checks:
        raise ConfigError(f"there is no check for a {kind} by itself", f"These have one: {', '.join(checks)}.")
    return checks[kind]
