"""`eef check`: checks components against their contract, and files of records."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from eef_framework.cli.errors import show
from eef_framework.cli.options import PluginList, assignment, say, selected
from eef_framework.errors import ConfigError, EefError, UnknownName
from eef_framework.evaluation.formatting import plural
from eef_framework.interfaces import Component
from eef_framework.paths import expand
from eef_framework.plugins import Kind, Registry, load_plugins
from eef_framework.plugins.component_classes import component_classes
from eef_framework.plugins.import_path import import_class
from eef_framework.plugins.kinds import KINDS, kind_of
from eef_framework.records import Example, Trajectory
from eef_framework.runs import contents, read_rows
from eef_framework.runs.contents import shape
from eef_framework.runs.lines import read_lines
from eef_framework.training.example_files import check_ids, rows_named

OPTIONS: dict[str, tuple[Kind, ...]] = {
    "split": ("environment", "expert"),
    "tasks": ("environment", "expert"),
    "cycles": ("environment",),
    "env": ("expert",),
    "policy": ("trainer",),
}
"""Option -> kinds of components whose checks take it."""


def check(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="NAME_OR_FILE...", help="Components (`shop`, `my_module:MyClass`) or files of records."),
    ],
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Kind of component, if several share the name.")
    ] = None,
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="NAME", help="Environment for an expert. Default: the only one of its plugin."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="Policy for a trainer. Default: its own, or transformers."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="A setting of the component; `environment.KEY` and `policy.KEY` for those of --env and --policy; "
            "`NAME.KEY` if you check several components. Repeatable.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Split of the tasks, for environments and experts.")
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of tasks; fewer if sessions are expensive.")
    ] = None,
    cycles: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of sessions to open and close to search for leaks.")
    ] = None,
    plugins: PluginList = None,
) -> None:
    """Check that components keep their contract, or that all rows of a file are valid."""
    checker = _Checker(load_plugins(selected(plugins)), targets, kind, env, policy, settings or ())
    options = {"split": split, "tasks": tasks, "cycles": cycles}
    failed = False
    for target in targets:
        try:
            path = expand(target)
            if path.suffix == ".py" and path.is_file():
                raise _without_class(path)
            say(_check_file(path) if path.is_file() else checker.check(target, options))
        except EefError as error:
            if len(targets) == 1:
                raise
            show(error)
            failed = True
    checker.require_all_used()
    if failed:
        raise typer.Exit(1)


def _check_file(path: Path) -> str:
    # If no row is valid, the file is read as the record whose fields it has, or else as trajectories: reading it
    # raises an error that says what is wrong.
    kind = contents(path).kind or next((shape(line.data) for line in read_lines(path)), None) or Trajectory
    with rows_named(path):
        rows = sum(1 for _ in read_rows(path, kind))
    if kind in (Example, Trajectory):
        check_ids(path)
    return f"{path}: {plural(rows, kind.__name__.lower())}, all valid" if rows else f"{path}: empty, no rows"


def _without_class(path: Path) -> ConfigError:
    """Return the error for a Python file where a class was expected."""
    here = path.resolve()
    inside = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else Path(here.name)
    module = ".".join(inside.with_suffix("").parts)
    try:
        classes = component_classes(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        classes = []
    named = " or ".join(f"`eef check {module}:{name}`" for name in classes) or f"`eef check {module}:MyClass`"
    return ConfigError(
        f"{str(path)!r} is a Python file; the class to check has to be named",
        f"Name the class: {named}.",
        code="class-missing",
        path=str(path),
        classes=classes,
    )


class _Checker:
    """Checks the components named on the command line."""

    def __init__(
        self,
        registry: Registry,
        targets: Sequence[str],
        kind: str | None,
        env: str | None,
        policy: str | None,
        assignments: Sequence[str],
    ) -> None:
        self.registry, self.kind, self.env, self.policy = registry, kind, env, policy
        self.used: set[str] = set()
        self.single = len(targets) == 1
        several = () if self.single else targets
        self.settings: dict[str, dict[str, Any]] = {owner: {} for owner in ("", "environment", "policy", *several)}
        for text in assignments:
            self._set(text, plain=self.single)

    def check(self, target: str, options: dict[str, Any]) -> str:
        """Check one component and return the message to print."""
        from eef_framework.testing.conformance import Nonconformance, check_component
        from eef_framework.testing.conformance.component import DEFAULT_POLICY

        kind = _kind(self.registry, target, self.kind)
        every = {**options, "env": self.env, "policy": self.policy}
        given = {name: value for name, value in every.items() if value is not None}
        taken = {name: value for name, value in given.items() if kind in OPTIONS[name]}
        for name in given.keys() - taken.keys() if self.single else ():
            raise ConfigError(
                f"the check of {target!r} ({kind}) takes no --{name}",
                f"Use --{name} with: {', '.join(OPTIONS[name])}.",
                code="unused-option",
                option=name,
            )
        for name in ("env", "policy"):
            taken.pop(name, None)
        with ExitStack() as stack:
            needed: dict[str, Any] = {}
            if kind == "expert":
                needed["environment"] = stack.enter_context(self._build("environment", self._environment(target)))
            if kind == "trainer":
                needed["policy"] = stack.enter_context(self._build("policy", self._policy(target)))
            component = stack.enter_context(self._build(kind, target, target if target in self.settings else ""))
            try:
                check_component(component, **needed, **taken)
            except Nonconformance as error:
                if kind == "trainer" and self._policy(target) == DEFAULT_POLICY != self.policy:
                    error.fix = (
                        f"The policy was {DEFAULT_POLICY!r}. If this trainer is for another one, name it in `policies` "
                        "of the trainer, or with --policy."
                    )
                raise
        partner = "".join(f" ({each} {part.component_name()!r})" for each, part in needed.items())
        return f"{kind} {target!r} keeps its contract{partner}"

    def require_all_used(self) -> None:
        """Raise an error for settings of components that no check used."""
        for owner, settings in self.settings.items():
            if settings and owner not in self.used:
                raise ConfigError(
                    f"--set {owner}.{next(iter(settings))}: no check used {owner!r}",
                    "Name the component with --env or --policy, or remove the setting.",
                    code="unused-setting",
                    component=owner,
                )

    def _environment(self, expert: str) -> str:
        """Return the environment to check an expert in: the given one, or the only one that comes with the expert."""
        if self.env is not None:
            return self.env
        from eef_framework.testing.conformance.component import environment_for

        return self.registry.name_of(environment_for(self.registry.get("expert", expert), self.registry))

    def _policy(self, trainer: str) -> str:
        """Return the policy to check a trainer with: the given one, the trainer's own, or the only one beside it."""
        if self.policy is not None:
            return self.policy
        from eef_framework.testing.conformance.component import policy_for

        return self.registry.name_of(policy_for(self.registry.get("trainer", trainer), self.registry))

    def _build(self, kind: Kind, name: str, *owners: str) -> Component:
        settings: dict[str, Any] = {}
        for owner in (kind, *owners):
            self.used.add(owner)
            settings |= self.settings.get(owner, {})
        return self.registry.build(kind, {"name": name, **settings})

    def _set(self, text: str, plain: bool) -> None:
        path, value = assignment(text)
        named = [owner for owner in self.settings if owner and path.startswith(f"{owner}.")]
        owner = max(named, key=len, default="")  # import paths have dots themselves
        key = path[len(owner) + 1 :] if owner else path
        if not owner and not plain:
            raise ConfigError(
                f"--set {text!r} doesn't say which component it is for",
                "Use --set NAME.KEY=VALUE.",
                code="ambiguous-setting",
            )
        *above, last = key.split(".")
        section = self.settings[owner]
        for name in above:
            section = section.setdefault(name, {})
        section[last] = value


def _kind(registry: Registry, name: str, kind: str | None) -> Kind:
    if ":" in name:
        return kind_of(import_class(name))
    kinds: list[Kind] = [each for each in KINDS if kind in (None, each) and name in registry.names(each)]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise ConfigError(
            f"{name!r} is the name of several components: {', '.join(kinds)}",
            "Choose one with --kind.",
            code="ambiguous-name",
            kinds=list(kinds),
        )
    for each in KINDS:
        with suppress(UnknownName):
            registry.get(each, name)  # raises the plugin's error if it comes from a broken plugin
    known = {component for each in KINDS if kind in (None, each) for component in registry.names(each)}
    raise UnknownName.of(kind or "component or file", name, known, registry.advice(name))
