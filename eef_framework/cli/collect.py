"""`eef collect`: demonstrations by the expert."""

from __future__ import annotations

from eef_framework.cli.options import Assignments, EnvironmentName, OutFile, PluginList, Recipe, Seed
from eef_framework.cli.phases import phases, say


def collect(
    recipe: Recipe,
    out: OutFile,
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
) -> None:
    """Let the expert demonstrate the training tasks. A file that exists is continued, if the settings are the same."""
    with phases(recipe, plugins, env, seed, assignments) as alone:
        found = alone.collect(out)
        successes = sum(map(alone.rule.holds, found))
        say(f"{out}: {len(found)} trajectories, {successes} successes")
