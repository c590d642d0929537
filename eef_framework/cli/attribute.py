"""`eef attribute`: verdicts from recorded simulations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from eef_framework.cli.options import Assignments, Demonstrations, EnvironmentName, OutFile, PluginList, Recipe, Seed
from eef_framework.cli.phases import phases, say


def attribute(
    recipe: Recipe,
    out: OutFile,
    demonstrations: Demonstrations,
    simulations: Annotated[Path, typer.Option(metavar="FILE", help="Simulations, as `eef explore` writes them.")],
    plugins: PluginList = None,
    env: EnvironmentName = None,
    assignments: Assignments = None,
    seed: Seed = None,
) -> None:
    """Attribute demonstrations by simulations that are recorded already."""
    with phases(recipe, plugins, env, seed, assignments) as alone:
        found = alone.attribute(demonstrations, simulations, out)
        verdicts = Counter(segment.verdict for attribution in found for segment in attribution.segments)
        counts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
        say(f"{out}: {len(found)} attributions; segments: {counts or 'none'}")
