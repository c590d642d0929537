"""`eef convert`: converts files of trajectories and examples from and to other formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import PluginList, assignment, say, selected
from eef_framework.errors import ConfigError, EefError, EnvironmentFailure, boundary
from eef_framework.evaluation.formatting import plural
from eef_framework.formats import FORMATS, OWN, Verification, own_kind, verified
from eef_framework.formats import convert as convert_file
from eef_framework.formats.writing import container_of
from eef_framework.interfaces import Environment
from eef_framework.plugins import load_plugins
from eef_framework.records import Task, Trajectory

NAMES = ", ".join([*OWN, *FORMATS])


def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file or folder of trajectories or examples.")],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A new file (.jsonl, .json, .parquet, .eval) or a folder (a dataset)."),
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FORMAT", help=f"{NAMES}. Default: trajectories, from any other format."),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="The format of FILE. Default: detected.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Omit the key `eef`, which allows a file to be converted back unchanged.")
    ] = False,
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="ENV", help="Match trajectories to this environment's tasks, and replay them."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="A setting of the environment. Repeatable."),
    ] = None,
    plugins: PluginList = None,
) -> None:
    """Convert trajectories and examples from and to other formats, and report what is lost."""
    target = to or _default(source, out, from_)
    if env is None:
        _convert(source, out, target, from_, plain)
        return
    if target != "trajectories":
        raise ConfigError(
            f"--env verifies trajectories, but --to is {target!r}",
            "Convert with --env and --to trajectories first, then to the other format.",
            code="nothing-to-verify",
            format=target,
        )
    registry = load_plugins(selected(plugins))
    with registry.build("environment", {"name": env, **dict(map(assignment, settings or ()))}) as environment:
        tasks = _tasks(environment)
        _convert(source, out, target, from_, plain, lambda trajectory: verified(trajectory, environment, tasks))


def _convert(
    source: Path,
    out: Path,
    to: str,
    from_: str | None,
    plain: bool,
    verify: Callable[[Trajectory], Trajectory] | None = None,
) -> None:
    replays = Verification()

    def counted(trajectory: Trajectory) -> Trajectory:
        found = verify(trajectory) if verify else trajectory
        replays.add(found)
        return found

    done = convert_file(source, out, to, from_, plain, counted if verify else None)
    replays.warn(source)
    formats = ", ".join(f"{count} {name}" for name, count in done.sources.items())
    left = f"; {len(done.bad)} left out" if done.bad else ""
    replayed = f"; {replays.verified} verified by replay" if verify else ""
    say(f"{out}: {plural(done.written, 'row')} of {to}, from {formats}{left}{replayed}")


def _default(source: Path, out: Path, from_: str | None) -> str:
    if out.name.endswith(".eval"):
        return "inspect"
    # A format that --from names decides: OpenAI's messages with id and weight look like our examples.
    if (from_ is None or from_ in OWN) and source.exists() and own_kind(source) is not None:
        container_of(out)  # an unknown ending doesn't become known with a format
        raise ConfigError(
            f"{source} already has our format, and the target format is missing",
            f"Add --to FORMAT: {NAMES}. If the file has another format, name it with --from.",
            code="format-needed",
            path=str(source),
        )
    return "trajectories"


def _tasks(environment: Environment) -> dict[str, Task]:
    """Return the tasks of the environment's usual splits, by id.

    Raises:
        EefError: it has none of these splits.
    """
    found: dict[str, Task] = {}
    failures: list[EefError] = []
    for split in ("train", "dev", "test"):
        try:
            with boundary(EnvironmentFailure, environment, f"listing the tasks of split {split!r}"):
                found |= {task.id: task for task in environment.tasks(split)}
        except EefError as failure:  # it may not have this split
            failures.append(failure)
    if not found and failures:
        raise failures[0]
    return found
