"""Writes the references that are derived from the code: `make docs`. A test fails while one of them is out of date."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import typer
from pydantic import BaseModel

import eef_framework.errors
from eef_framework.cli.errors import EPILOG
from eef_framework.cli.main import app as eef
from eef_framework.cli.run import app as eef_run
from eef_framework.config.merge import COMPONENTS, defaults
from eef_framework.config.schema import RunConfig
from eef_framework.errors import EefError
from eef_framework.plugins import hookspecs
from eef_framework.plugins.describe import settings_of, shown, summary_of
from eef_framework.validation_messages import KeyPath, dotted, model_at

HERE = Path(__file__).parent
HEAD = "<!-- Written by docs/generate.py from the code: change that, and run `make docs`. -->\n"

CONFIGURATION = """
# Configuration

A run is configured by one tree of settings. It is composed from four sources; later ones override earlier ones:

1. the defaults below;
2. the recipe: the name of a registered one (`eef plugins` lists them) or a YAML file; `extends: eef` builds on another;
3. environment variables, such as `EEF__explore__simulations=2`;
4. the command line: `--set explore.simulations=2`, and `--env`, `--seed` and `--plugins`, which are short for settings.

Sections are merged key by key; lists are replaced. An index reaches into a list:

```console
eef-run demo --set filters.0.trajectories=2 --dry-run
EEF__explore__simulations=2 eef-run demo --dry-run
```

`--dry-run` prints the resolved configuration and the number of episodes.

A component is a name, or a name with settings: `attributor: interval`, `attributor: {name: interval, probes: 5}`. If a
later source names another component, the settings of the earlier one are dropped. `eef plugins NAME` lists the settings
of a component. A class that isn't registered is named by its import path: `attributor: my_module:MyAttributor`.

Values are YAML 1.2: `true` and `false` are booleans, `on` and `no` are strings, `1e-5` is a number.
"""


def configuration() -> str:
    """Return the reference of the configuration tree."""
    return "\n".join([HEAD, CONFIGURATION.strip(), "", *_section(RunConfig, ())])


def _section(model: type[BaseModel], key_path: KeyPath) -> Iterator[str]:
    yield f"## {f'`{dotted(key_path)}`' if key_path else 'A run'}\n"
    yield f"{summary_of(model)}\n"
    yield from _table(("setting", "type", "default", "meaning"), _settings(model, key_path))
    yield ""
    for name in model.model_fields:
        inner = model_at(model, (name,))
        if inner is not None and (*key_path, name) not in COMPONENTS:
            yield from _section(inner, (*key_path, name))


def _settings(model: type[BaseModel], key_path: KeyPath) -> Iterator[tuple[str, ...]]:
    # A section's defaults depend on where it stands: an evaluation isn't sampled as exploration is.
    standing: Any = functools.reduce(lambda data, key: (data or {}).get(key), key_path, cast("Any", defaults()))
    if standing is None:  # a section that is null by default
        standing = model.model_construct().model_dump(mode="json", warnings=False)
    for name, type_, default, meaning in settings_of(model):
        here = (*key_path, name)
        kind, several = COMPONENTS.get(here), COMPONENTS.get((*here, "*"))
        inner = model_at(model, (name,))
        if kind or several:
            optional = " or null" if default == "null" else ""
            type_ = f"list of {several}s" if several else f"{kind}{optional}"
        elif inner is not None:
            type_, meaning = "section", meaning or summary_of(inner)
        if default and name in standing:
            default = shown(standing[name])
        yield f"`{name}`", type_, f"`{default}`" if default else "", meaning


def hooks() -> str:
    """Return the reference of the hooks."""
    rows = [
        (f"`{name}{inspect.signature(function)}`".replace("'", "").replace(" -> None", ""), _docstring(function))
        for name, function in vars(hookspecs).items()
        if hasattr(function, f"{hookspecs.GROUP}_spec")
    ]
    text = (
        "# Hooks\n\nThe hooks that a plugin can implement, each decorated with `eef_framework.hookimpl`. "
        f"Its module is named by an entry point of the group `{hookspecs.GROUP}`. See [plugins](plugins.md).\n"
    )
    return "\n".join([HEAD, text, *_table(("hook", "what to do"), rows), ""])


def _docstring(function: Any) -> str:
    """Return a function's whole docstring on one line."""
    return " ".join((inspect.getdoc(function) or "").split())


def command_line() -> str:
    """Return the reference of the commands."""
    lines = [
        HEAD,
        "# Command line\n",
        "Exit codes: 0 done, 1 failed, 2 command or configuration wrong, 130 interrupted (Ctrl-C), 143 terminated "
        f"(SIGTERM). {EPILOG}\n",
    ]
    lines += _command("eef-run", typer.main.get_command(eef_run))
    group: Any = typer.main.get_command(eef)
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)  # of a command that is a group itself
        parts = {f"eef {name} {each}": part for each, part in below.items()} if below else {f"eef {name}": command}
        for words, part in parts.items():
            lines += _command(words, part)
    return "\n".join(lines)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and "--help" not in each.opts]
    usage = " ".join(each.metavar if each.required else f"[{each.metavar}]" for each in arguments)
    required = "".join(f" {each.opts[0]} {each.metavar}" for each in options if each.required)
    yield f"## `{name}`\n"
    yield f"    {name} {usage}{required} [options]".replace(" [options]", " [options]" if options else "") + "\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    rows = [(f"`{each.metavar}`", each.help or "") for each in arguments]
    rows += [
        (f"`{', '.join(each.opts)}{f' {each.metavar}' if each.metavar else ''}`", each.help or "") for each in options
    ]
    yield from _table(("argument or option", "meaning"), rows)
    yield ""


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


ERRORS = """
# Errors

An error is printed as its code, what went wrong, and what to do:

```text
error [unknown-name]: there is no environment 'shpo'; did you mean 'shop'?
```

Programs should check `error.code` and `error.details` (the values in the message), never the text: text may change,
codes don't. Warnings have codes as well.

Errors in a plugin's code name the line of the plugin's author. To see the whole traceback of any error, set
`EEF_TRACEBACK=1`:

<!-- not-run: fails, as it should -->
```console
EEF_TRACEBACK=1 eef-run my.yaml
```

Any other exception is a bug in the framework, and is always printed with its traceback. Please report it.

Below, `...` stands for values. Where a code has several messages, each is listed.
"""


def errors() -> str:
    """Return the reference of the codes of errors and warnings."""
    rows: dict[str, dict[tuple[str, str], None]] = {}
    for code, message, fix in _error_classes():
        rows.setdefault(code, {})[message, fix] = None
    for file in _sources():
        for code, message, fix in _raised(ast.parse(file.read_text(encoding="utf-8"))):
            rows.setdefault(code, {})[message, fix] = None
    table = [
        (f"`{code}`", "<br>".join(_unique(what for what, _ in found)), "<br>".join(_unique(fix for _, fix in found)))
        for code, found in sorted(rows.items())
    ]
    return "\n".join([HEAD, ERRORS.strip(), "", *_table(("code", "what happened", "what to do"), table), ""])


def _sources() -> list[Path]:
    """Return the modules of all distributions, without those that help tests."""
    folders = (HERE.parent / "eef_framework", *sorted((HERE.parent / "plugins").glob("*/eef_*")))
    return [file for folder in folders for file in sorted(folder.rglob("*.py"))]


def _error_classes() -> Iterator[tuple[str, str, str]]:
    for cls in vars(eef_framework.errors).values():
        if isinstance(cls, type) and issubclass(cls, EefError) and "default_code" in vars(cls):
            yield cls.default_code, summary_of(cls), ""
    for code, fix in eef_framework.errors.STORAGE_CODES.values():
        yield code, "Reading or writing a file failed.", fix


def _raised(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Yield code, message and fix of every call that is given a code."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            for keyword in call.keywords:
                texts = [*(_text(each) for each in call.args[:2]), "", ""]
                if keyword.arg == "code":
                    for code in _literals(keyword.value):
                        yield code, texts[0], texts[1]


def _literals(value: ast.expr) -> Iterator[str]:
    """Yield the strings that an expression may be: one, or one of two (`"a" if x else "b"`)."""
    if isinstance(value, ast.IfExp):
        yield from _literals(value.body)
        yield from _literals(value.orelse)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value


def _text(node: ast.expr) -> str:
    """Return a string as it stands in the source, with `...` for its values; empty if it isn't a literal."""
    if isinstance(node, ast.Constant):
        text = str(node.value)
    elif isinstance(node, ast.JoinedStr):
        text = "".join(_text(part) if isinstance(part, ast.Constant) else "..." for part in node.values)
    else:
        return ""
    return " ".join(text.split()) if "\n" in text else text


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


PAGES = {"configuration.md": configuration, "hooks.md": hooks, "cli.md": command_line, "errors.md": errors}
"""File -> what writes it."""


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
