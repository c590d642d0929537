"""`eef base`: the model that training starts from."""

from __future__ import annotations

from eef_framework.cli.options import Assignments, Demonstrations, EnvironmentName, OutFolder, PluginList, Recipe, Seed
from eef_framework.cli.phases import phases, say


def base(
    recipe: Recipe,
    out: OutFolder,
    demonstrations: Demonstrations,
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
) -> None:
    """Make or find the model that training starts from."""
    with phases(recipe, plugins, env, seed, assignments) as alone:
        found = alone.base(demonstrations, out)
        say(f"{found.path}: {alone.config.policy['name']} to start from")
