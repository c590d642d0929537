"""`eef train`: a fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import Assignments, EnvironmentName, OutFolder, PluginList, Recipe, Seed
from eef_framework.cli.phases import phases, say
from eef_framework.evaluation.wording import count, duration


def train(
    recipe: Recipe,
    out: OutFolder,
    examples: Annotated[Path, typer.Option(metavar="FILE", help="Examples, as `eef select` writes them.")],
    model: Annotated[Path, typer.Option(metavar="FOLDER", help="Checkpoint to start from.")],
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
) -> None:
    """Train a model on a file of examples."""
    with phases(recipe, plugins, env, seed, assignments) as alone:
        checkpoint, cost = alone.train(examples, model, out)
        say(f"{checkpoint.path}: {count(cost.trained_tokens)} tokens trained in {duration(cost.seconds)}")
