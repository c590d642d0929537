"""`eef evaluate`: the agent on held-out tasks."""

from __future__ import annotations

from eef_framework.cli.options import Assignments, EnvironmentName, Model, OutFile, PluginList, Recipe, Seed
from eef_framework.cli.phases import phases, say
from eef_framework.evaluation.wording import percent, plus_minus


def evaluate(
    recipe: Recipe,
    out: OutFile,
    model: Model = None,
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
) -> None:
    """Let the agent play the held-out tasks. A file that exists is continued, if the settings are the same."""
    with phases(recipe, plugins, env, seed, assignments) as alone:
        result = alone.evaluate(model, out)
        numbers = f"success {percent(result.success)} %, reward {plus_minus(result.reward)}"
        say(f"{out}: {result.episodes} {result.split} tasks; {numbers}")
