"""`eef select`: what to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import Assignments, Demonstrations, EnvironmentName, OutFile, PluginList, Recipe, Seed
from eef_framework.cli.phases import phases, say


def select(
    recipe: Recipe,
    out: OutFile,
    demonstrations: Demonstrations,
    explored: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="What `eef explore` wrote; repeatable, the latest last. None: cloning."),
    ] = None,
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
) -> None:
    """Choose examples to train on, from demonstrations and what was explored."""
    with phases(recipe, plugins, env, seed, assignments) as alone:
        found = alone.select(demonstrations, explored or [], out)
        turns = sum(example.trained_turns for example in found)
        say(f"{out}: {len(found)} examples with {turns} turns to learn")
