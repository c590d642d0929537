"""`eef explore`: simulations by the agent, and attribution."""

from __future__ import annotations

from eef_framework.cli.options import (
    Assignments,
    Demonstrations,
    EnvironmentName,
    Model,
    OutFolder,
    PluginList,
    Recipe,
    Seed,
)
from eef_framework.cli.phases import phases, say


def explore(
    recipe: Recipe,
    out: OutFolder,
    demonstrations: Demonstrations,
    model: Model = None,
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
) -> None:
    """Let the agent try, from initial states and from states of demonstrations, and attribute these."""
    with phases(recipe, plugins, env, seed, assignments) as alone:
        found, attributions = alone.explore(demonstrations, model, out)
        successes = sum(map(alone.rule.holds, found))
        say(f"{out}: {len(found)} simulations, {successes} successes, {len(attributions)} attributions")
