"""What the commands for single phases share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from eef_framework.cli.options import compose
from eef_framework.pipeline.alone import Alone


@contextmanager
def phases(
    recipe: str, plugins: str | None, environment: str | None, seed: int | None, assignments: Sequence[str] | None
) -> Iterator[Alone]:
    """Compose a configuration and yield its phases."""
    config, registry = compose(recipe, plugins, environment, seed, assignments)
    with Alone(config, registry, Console(stderr=True)) as alone:
        yield alone


def say(result: str) -> None:
    """Print the one line a phase ends with."""
    Console(highlight=False).print(result, soft_wrap=True, markup=False)
