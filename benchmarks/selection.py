"""Does it pay to learn the shortest solution, and to let exploration adapt, at equal cost?

A small design in the generated shop (`configs/selection.yaml`): one iteration, the same clone, and for every method the
number of episodes that EEF spends. Each seed has a shop of its own. Compared are, each pair by seed and task:

* the shortest of matched RFT's solutions with a random one, and the same for EEF;
* `eef-adaptive` with `rft-adaptive`, with EEF, with the shortest of matched RFT's solutions, and with an EEF whose mask
  is the same (`prefix_loss: not-harmful`).

    python benchmarks/selection.py

An interrupted benchmark continues when it is started again.
"""

from __future__ import annotations

import json
from pathlib import Path

from common import arguments, eef, finish, interval, read_json, settings, table

from eef_framework.comparison import compare_runs

HERE = Path(__file__).parent
PER_SEED = "environment.catalogue_seed"
PAIRS = (
    ("rft-matched-shortest", "rft-matched-random"),
    ("eef-shortest", "eef"),
    ("eef-adaptive", "rft-adaptive"),
    ("eef-adaptive", "eef"),
    ("eef-adaptive", "rft-matched-shortest"),
    ("eef-adaptive", "eef-not-harmful"),
)


def main() -> None:
    args = arguments(
        __doc__,
        {"seeds": 1, "tasks": 20, "steps": 10, "goals": 10},
        seed=(300, "the first seed"),
        seeds=(4, "one run each"),
        tasks=(200, "training tasks"),
        steps=(250, "steps of each training"),
        goals=(200, "held-out goals of each seed"),
        jobs=(1, "seeds at a time, each with its share of the cores"),
        set=([], "settings, as for eef-run", str),
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    recipes = sorted(str(path) for path in (HERE / "selection").glob("*.yaml"))
    given = [f"baselines={json.dumps([*recipes, 'rft-adaptive'])}", f"collect.tasks.count={args.tasks}"]
    given += [f"evaluate.tasks.count={args.goals}"]
    given += [f"{phase}.trainer.steps={args.steps}" for phase in ("clone", "tune")]
    several = ("--seeds", args.seeds, "--seed", args.seed, "--jobs", args.jobs, "--per-seed", PER_SEED)
    config, log = HERE / "configs/selection.yaml", args.folder / "runs.log"
    eef(config, *several, "--out", args.folder, *settings([*given, *args.set]), log=log, program="eef-run")
    folders = [args.folder / f"seed-{args.seed + index}" for index in range(args.seeds)]
    found = compare_runs(folders, allow=[PER_SEED])
    rows = [
        (row.label, interval(row.success_over_seeds.model_dump(), scale=100), row.simulations, row.tokens)
        for row in found.rows
    ]
    differences = []
    for first, second in PAIRS:
        compared = compare_runs(folders, reference=f"{first} 1", allow=[PER_SEED]).differences
        each = next(each for each in compared if each.second == f"{second} 1")
        points = ", ".join(f"{100 * gain:+.1f}" for gain in each.per_seed)
        differences.append((f"{first} - {second}", interval(each.over_seeds.model_dump(), 1, "+", 100), points))
    text = [table(("", "success, % over seeds", "episodes", "tokens"), rows)]
    text += ["", table(("difference", "points, over seeds", "per seed"), differences)]
    report = {"rows": rows, "differences": differences, "explorations": [explorations(folder) for folder in folders]}
    spent = {row.label: row.simulations for row in found.rows}
    tolerance = 0.1 * spent["eef 1"]
    checks = {
        f"{method} spends what EEF spends": spent["eef 1"] - tolerance <= spent[f"{method} 1"] <= spent["eef 1"]
        for method in ("rft-matched-random", "rft-matched-shortest", "eef-adaptive", "rft-adaptive", "eef-shortest")
    }
    finish(args, report, "\n".join(text), checks)


def explorations(folder: Path) -> dict[str, object]:
    """Return what the explorations that adapt recorded: tasks by standing, and rounds."""
    return {
        method: read_json(folder / f"methods/{method}/1/explore/stage.json")["info"]["exploration"]
        for method in ("eef-adaptive", "rft-adaptive")
    }


if __name__ == "__main__":
    main()
